# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A camera as a frame source."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.sources.capture import (
    Capture,
    CaptureFactory,
    open_camera_capture,
    read_rgb,
)
from aitable_ros.sources.frame_source import (
    DEFAULT_FPS,
    FrameSource,
    SourceError,
    check_request,
    plausible_fps,
)

DEVICES: Path | None = Path('/dev') if sys.platform.startswith('linux') else None
"""Folder of the devices, where there is such a thing."""

_logger = logging.getLogger(__name__)


class CameraSource(FrameSource):
    """
    A camera of this computer.

    A camera that stops giving frames is opened again, with growing pauses, for as long as
    :meth:`read` is called; each failure is logged. What the camera gives, which is often not
    what was asked of it, is in :attr:`size`, :attr:`fps` and :attr:`description`.

    :param device: index, or path such as ``/dev/video0``; a path below ``/dev/v4l/by-id`` stays
        with the camera when it is plugged in elsewhere.
    :param width: asked of the camera, pixels; None: its default.
    :param height: asked of the camera, pixels; None: its default.
    :param fps: asked of the camera; None: its default.
    :param fourcc: pixel format asked of the camera; None: its default. MJPG, because
        uncompressed formats do not fit through USB 2 at 30 frames per second above VGA.
    :param first_retry_s: pause before a lost camera is opened again; doubled at each failure.
    :param max_retry_s: the longest pause.
    :param max_failed_reads: a camera is given up, and opened again, when this many reads in a
        row gave nothing; webcams now and then send a frame that cannot be decoded.
    :param capture_factory: opens the device.
    :param clock: seconds on a monotonic clock.
    :param sleep: waits for some seconds.
    :param dev: folder in which devices are looked for; None: do not look first.
    :raises SourceError: when the camera is not there, may not be opened, or gives no picture.
    """

    live = True

    def __init__(
        self,
        device: int | str,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        fourcc: str | None = 'MJPG',
        first_retry_s: float = 0.5,
        max_retry_s: float = 30.0,
        max_failed_reads: int = 3,
        capture_factory: CaptureFactory = open_camera_capture,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        dev: Path | None = DEVICES,
    ) -> None:
        check_request(width, height, fps)
        if not 0.0 < first_retry_s <= max_retry_s or max_failed_reads < 1:
            raise ValueError('pauses and reads must be positive, the first pause the shortest')
        if fourcc is not None and len(fourcc) != 4:
            raise ValueError(f'fourcc must have four letters, got {fourcc!r}')
        self._device = device
        self._wish = (width, height, fps, fourcc)
        self._first_retry_s = self._retry_s = first_retry_s
        self._max_retry_s = max_retry_s
        self._max_failed_reads = max_failed_reads
        self._factory = capture_factory
        self._clock = clock
        self._sleep = sleep
        self._dev = dev
        self._start_s: float | None = None
        super().__init__(f'camera {device}', (0, 0), DEFAULT_FPS)
        self._given_fourcc = ''
        self._capture: Capture | None = self._open()
        _logger.info('%s', self.description)

    @property
    def description(self) -> str:
        """What the camera gives, and what was asked of it where that differs."""
        width, height, fps, fourcc = self._wish
        given = f'{self.name}: {self.size[0]}x{self.size[1]} {self._given_fourcc}'.rstrip()
        given += f' at {self.fps:g} fps'
        asked = []
        if (width or self.size[0], height or self.size[1]) != self.size:
            asked.append(f'{width or "any"}x{height or "any"}')
        if fourcc and self._given_fourcc not in ('', fourcc):
            asked.append(fourcc)
        if fps and abs(fps - self.fps) > 0.01 * fps:
            asked.append(f'{fps:g} fps')
        return f'{given} (asked for {", ".join(asked)})' if asked else given

    @property
    def connected(self) -> bool:
        """False while the camera is lost; may be asked from any thread."""
        return self._capture is not None and not self._closed

    def _next(
        self, stopping: threading.Event | None
    ) -> tuple[npt.NDArray[np.uint8], float, Path | None] | None:
        while stopping is None or not stopping.is_set():
            if self._capture is None:
                self._try_to_reopen(stopping)
                continue
            image = self._read_some(self._capture)
            if image is None:
                self._lose('no picture came')
                continue
            now_s = self._clock()
            if self._start_s is None:
                self._start_s = now_s
            self._retry_s = self._first_retry_s
            self.size = (image.shape[1], image.shape[0])
            return image, now_s - self._start_s, None
        return None

    def _read_some(self, capture: Capture) -> npt.NDArray[np.uint8] | None:
        for _ in range(self._max_failed_reads):
            image = read_rgb(capture)
            if image is not None:
                return image
        return None

    def _lose(self, why: str) -> None:
        self._close()
        _logger.warning('%s lost (%s); trying again in %g s', self.name, why, self._retry_s)

    def _try_to_reopen(self, stopping: threading.Event | None) -> None:
        if stopping is None:
            self._sleep(self._retry_s)
        elif stopping.wait(self._retry_s):
            return
        self._retry_s = min(2.0 * self._retry_s, self._max_retry_s)
        try:
            self._capture = self._open()
        except SourceError as error:
            _logger.warning('%s; trying again in %g s', error, self._retry_s)
        else:
            _logger.info('%s is back: %s', self.name, self.description)

    def _open(self) -> Capture:
        if self._dev is not None:
            _check_device(self._device, self._dev)
        capture = self._factory(self._device)
        try:
            if not capture.isOpened():
                raise SourceError(
                    f'{self.name} cannot be opened: it may be in use by another program, or be '
                    f'no camera (one camera can have several /dev/video*){_others(self._dev)}'
                )
            width, height, fps, fourcc = self._wish
            # The pixel format comes first: it decides which sizes and rates there are.
            if fourcc is not None:
                code = int.from_bytes(fourcc.encode('ascii'), 'little')
                capture.set(cv2.CAP_PROP_FOURCC, code)
            for prop, value in (
                (cv2.CAP_PROP_FRAME_WIDTH, width),
                (cv2.CAP_PROP_FRAME_HEIGHT, height),
                (cv2.CAP_PROP_FPS, fps),
                # The newest frame is wanted, not a queue of old ones.
                (cv2.CAP_PROP_BUFFERSIZE, 1),
            ):
                if value is not None:
                    capture.set(prop, value)
            # A camera in use elsewhere opens, but gives nothing.
            image = self._read_some(capture)
            if image is None:
                raise SourceError(
                    f'{self.name} opens but gives no picture: it may be in use by another '
                    f'program{_others(self._dev)}'
                )
        except SourceError:
            capture.release()
            raise
        self.size = (image.shape[1], image.shape[0])
        given_fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = given_fps if plausible_fps(given_fps) else fps or DEFAULT_FPS
        self._given_fourcc = _fourcc_name(int(capture.get(cv2.CAP_PROP_FOURCC)))
        return capture

    def _close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def _check_device(device: int | str, dev: Path) -> None:
    path = dev / f'video{device}' if isinstance(device, int) else Path(device)
    if not path.exists():
        raise SourceError(f'no camera {device}: there is no {path}{_others(dev)}')
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(
            f'permission denied for {path}: join the group that owns cameras with '
            '`sudo usermod -aG video $USER`, then log out and in again'
        )


def _others(dev: Path | None) -> str:
    """List the cameras that are there, as the end of a sentence."""
    if dev is None:
        return ''
    numbers = [m[1] for p in dev.glob('video*') if (m := re.fullmatch(r'video(\d+)', p.name))]
    if not numbers:
        return f' ({dev}/video*: none)'
    return f' (there are {", ".join(f"{dev}/video{n}" for n in sorted(numbers, key=int))})'


def _fourcc_name(code: int) -> str:
    name = (code & 0xFFFFFFFF).to_bytes(4, 'little').decode('ascii', 'replace')
    return name if code > 0 and name.isprintable() else ''
