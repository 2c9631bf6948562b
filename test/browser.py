# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A real Chromium for the tests of the page, driven by selenium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_fixtures import until

CHROMIUM = ('chromium', 'chromium-browser', 'google-chrome')
FLAGS = ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu')


class Browser:
    """
    One window, and what went on in it.

    :param folder: for downloads.
    """

    def __init__(self, folder: Path) -> None:
        webdriver = pytest.importorskip('selenium.webdriver', reason='selenium is not installed')
        driver = shutil.which('chromedriver')
        chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
        if driver is None or chromium is None:
            pytest.skip('there is no Chromium: apt install chromium chromium-driver')
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in FLAGS:
            options.add_argument(flag)
        options.add_experimental_option('prefs', {'download.default_directory': str(folder)})
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
        service = webdriver.ChromeService(driver)
        self.driver: Any = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(30.0)

    def close(self) -> None:
        self.driver.quit()

    def text(self, selector: str) -> str:
        """Return the text of an element; empty where there is none, or it is not to be seen."""
        script = (
            'const found = document.querySelector(arguments[0]);'
            'return found?.checkVisibility() ? found.innerText : ""'
        )
        return str(self.driver.execute_script(script, selector))

    def says(self, selector: str, words: str, timeout_s: float = 10.0) -> bool:
        """Wait until an element has this text in it."""
        if until(lambda: words in self.text(selector), timeout_s):
            return True
        print(f'{selector}: {self.text(selector)!r}')
        return False

    def click(self, selector: str) -> None:
        self.driver.find_element('css selector', selector).click()

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def pixels(self, selector: str = '#picture') -> np.ndarray:
        """Return what a canvas shows, (H, W, 3) RGB."""
        width, height, values = self.run(
            'const c = document.querySelector(arguments[0]);'
            'const d = c.getContext("2d").getImageData(0, 0, c.width, c.height);'
            'return [c.width, c.height, Array.from(d.data)]',
            selector,
        )
        return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]

    def appear(self, *, dark: bool = False, size: tuple[int, int] = (1280, 900)) -> None:
        """Be a phone (narrow) or a wide screen, dark or light."""
        width, height = size
        metrics = {'width': width, 'height': height, 'deviceScaleFactor': 1}
        self._cdp('Emulation.setDeviceMetricsOverride', mobile=width < 600, **metrics)
        feature = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self._cdp('Emulation.setEmulatedMedia', features=[feature])

    def complaints(self) -> list[str]:
        """Return what the console was told since the last call."""
        return [entry['message'] for entry in self.driver.get_log('browser')]

    def requested(self) -> set[str]:
        """Return the addresses that were asked for since the last call."""
        found = set()
        for entry in self.driver.get_log('performance'):
            event = json.loads(entry['message'])['message']
            if event['method'] == 'Network.requestWillBeSent':
                found.add(event['params']['request']['url'])
            elif event['method'] == 'Network.webSocketCreated':
                found.add(event['params']['url'])
        return found

    def in_new_tab(self, url: str) -> Callable[[], None]:
        """Open a tab and go to it; return what goes back to this one."""
        before = self.driver.current_window_handle
        self.driver.switch_to.new_window('tab')
        self.driver.get(url)

        def back() -> None:
            self.driver.close()
            self.driver.switch_to.window(before)

        return back

    def _cdp(self, command: str, **parameters: Any) -> None:
        self.driver.execute_cdp_cmd(command, parameters)
