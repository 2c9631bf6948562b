#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Take the pictures of the page in docs/: the real nodes on the built-in sample, in a real Chromium.

    source scripts/ros_env.sh
    python3 scripts/maintenance/page_pictures.py            # docs/web.png, docs/web_phone.png
    python3 scripts/maintenance/page_pictures.py --all DIR  # more of them, to be looked at

Needs Debian's chromium and chromium-driver, and uPlot (fetch_charts).
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import PIL.Image
from selenium import webdriver

ROOT = Path(__file__).resolve().parents[2]
WATCH_S = 75.0
COLOURS = 128
FLAGS = ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--hide-scrollbars')


class Shot(NamedTuple):
    """A picture: its file, size, and what the browser and the page are like."""

    name: str
    width: int
    height: int
    dark: bool
    privacy: str
    source: str = 'sample'


IN_DOCS = (
    Shot('web', 1120, 860, False, 'mesh'),
    Shot('web_phone', 390, 820, True, 'blur'),
)
FURTHER = (
    Shot('desktop_dark', 1600, 1100, True, 'none'),
    Shot('phone_light', 360, 1900, False, 'mesh'),
    Shot('nobody', 1280, 900, False, 'none', source='empty'),
    Shot('no_image', 1280, 900, False, 'no_image'),
)


def start(module: str, log: Path, *parameters: str) -> subprocess.Popen[bytes]:
    """Run a node with these parameters."""
    command = [sys.executable, '-m', f'aitable_ros.nodes.{module}', '--ros-args']
    command += ['--params-file', str(ROOT / 'config' / 'aitable.yaml')]
    for parameter in parameters:
        command += ['-p', parameter]
    with log.open('wb') as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT)


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    process.wait(20.0)


def take(driver: Any, shot: Shot, folder: Path) -> None:
    """Take one picture of the page that is open."""
    metrics = {'width': shot.width, 'height': shot.height, 'deviceScaleFactor': 1}
    driver.execute_cdp_cmd(
        'Emulation.setDeviceMetricsOverride', {**metrics, 'mobile': shot.width < 600}
    )
    scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if shot.dark else 'light'}
    driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [scheme]})
    time.sleep(4.0)
    picture = PIL.Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert('RGB')
    picture.quantize(COLOURS).save(folder / f'{shot.name}.png', optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().partition('\n')[0])
    parser.add_argument('--all', metavar='DIR', type=Path, help='take them all, into this folder')
    folder = parser.parse_args().all or ROOT / 'docs'
    shots = IN_DOCS if folder == ROOT / 'docs' else (*IN_DOCS, *FURTHER)
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    names = 'face_detection,emotion,fatigue,posture,attention,overlay'
    with tempfile.TemporaryDirectory() as logs:
        log = Path(logs)
        nodes = [start('component_container', log / 'nodes', f'components:=[{names}]')]
        web = start('web_monitor_node', log / 'web', 'port:=0', 'control:=true')
        # named, or selenium would look for one on the internet
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which('chromedriver')))
        try:
            while not (found := re.search(r'http://[\d.:]+/', (log / 'web').read_text())):
                time.sleep(0.2)
            driver.get(found[0])
            PIL.Image.new('RGB', (640, 480), 'grey').save(log / 'empty.png')
            sources = {'sample': 'sample', 'empty': log / 'empty.png'}
            source = ''
            for shot in sorted(shots, key=lambda one: one.source):
                if shot.source != source:
                    source = shot.source
                    if len(nodes) == 2:
                        end(nodes.pop())
                    given = f'source:={sources[source]}'
                    nodes.append(start('image_source_node', log / 'source', given))
                    time.sleep(WATCH_S if source == 'sample' else 5.0)
                driver.execute_script(
                    'document.querySelector("#privacy").value = arguments[0];'
                    'document.querySelector("#privacy").onchange()',
                    shot.privacy,
                )
                take(driver, shot, folder)
        finally:
            driver.quit()
            for process in (*nodes, web):
                end(process)


if __name__ == '__main__':
    main()
