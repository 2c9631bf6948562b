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
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.sources.capture import Capture, open_camera_capture, read_rgb
from aitable_ros.sources.frame_source import (
    DEFAULT_FPS,
    FrameSource,
    Item,
    SourceError,
    check_request,
    plausible_fps,
)

DEVICES: Path | None = Path('/dev') if sys.platform.startswith('linux') else None
"""Folder of the devices, where there is such a thing."""

FOURCC = 'MJPG'
"""Pixel format asked for: others do not fit through USB 2 at 30 Hz above VGA."""

FIRST_RETRY_S = 0.5
"""Pause before a lost camera is opened again; doubled at each failure."""

MAX_RETRY_S = 30.0
"""The longest pause."""

MAX_FAILED_READS = 3
"""
A camera is given up, and opened again, when so many reads in a row gave nothing: webcams now and
then send a frame that cannot be decoded.
"""

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
    ) -> None:
        check_request(width, height, fps)
        self._device = device
        self._wish = (width, height, fps)
        self._retry_s = FIRST_RETRY_S
        self._start_s: float | None = None
        super().__init__(f'camera {device}', (0, 0), DEFAULT_FPS)
        self._given_fourcc = ''
        self._capture: Capture | None = self._open()
        _logger.info('%s', self.description)

    @property
    def description(self) -> str:
        """What the camera gives, and what was asked of it where that differs."""
        width, height, fps = self._wish
        given = f'{self.name}: {self.size[0]}x{self.size[1]} {self._given_fourcc}'.rstrip()
        given += f' at {self.fps:g} fps'
        asked = []
        if (width or self.size[0], height or self.size[1]) != self.size:
            asked.append(f'{width or "any"}x{height or "any"}')
        if self._given_fourcc not in ('', FOURCC):
            asked.append(FOURCC)
        if fps and abs(fps - self.fps) > 0.01 * fps:
            asked.append(f'{fps:g} fps')
        return f'{given} (asked for {", ".join(asked)})' if asked else given

    @property
    def connected(self) -> bool:
        """False while the camera is lost; may be asked from any thread."""
        return self._capture is not None and not self._closed

    def _next(self, stopping: threading.Event | None) -> Item | None:
        while stopping is None or not stopping.is_set():
            if self._capture is None:
                self._try_to_reopen(stopping)
                continue
            image = self._read_some(self._capture)
            if image is None:
                self._lose('no picture came')
                continue
            now_s = time.monotonic()
            if self._start_s is None:
                self._start_s = now_s
            self._retry_s = FIRST_RETRY_S
            self.size = (image.shape[1], image.shape[0])
            return image, now_s - self._start_s, None
        return None

    def _read_some(self, capture: Capture) -> npt.NDArray[np.uint8] | None:
        for _ in range(MAX_FAILED_READS):
            image = read_rgb(capture)
            if image is not None:
                return image
        return None

    def _lose(self, why: str) -> None:
        self._close()
        _logger.warning('%s lost (%s); trying again in %g s', self.name, why, self._retry_s)

    def _try_to_reopen(self, stopping: threading.Event | None) -> None:
        if stopping is None:
            time.sleep(self._retry_s)
        elif stopping.wait(self._retry_s):
            return
        self._retry_s = min(2.0 * self._retry_s, MAX_RETRY_S)
        try:
            self._capture = self._open()
        except SourceError as error:
            _logger.warning('%s; trying again in %g s', error, self._retry_s)
        else:
            _logger.info('%s is back: %s', self.name, self.description)

    def _open(self) -> Capture:
        _check_device(self._device)
        capture = open_camera_capture(self._device)
        try:
            if not capture.isOpened():
                raise SourceError(
                    f'{self.name} cannot be opened: it may be in use by another program, or be '
                    f'no camera (one camera can have several /dev/video*){_others()}'
                )
            width, height, fps = self._wish
            for prop, value in (
                # The pixel format comes first: it decides which sizes and rates there are.
                (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*FOURCC)),
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
                    f'program{_others()}'
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


def _check_device(device: int | str) -> None:
    if DEVICES is None:
        return
    path = DEVICES / f'video{device}' if isinstance(device, int) else Path(device)
    if not path.exists():
        raise SourceError(f'no camera {device}: there is no {path}{_others()}')
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(
            f'permission denied for {path}: join the group that owns cameras with '
            '`sudo usermod -aG video $USER`, then log out and in again'
        )


def _others() -> str:
    """List the cameras that are there, as the end of a sentence."""
    if DEVICES is None:
        return ''
    names = [p.name for p in DEVICES.glob('video*') if re.fullmatch(r'video\d+', p.name)]
    if not names:
        return f' ({DEVICES}/video*: none)'
    names.sort(key=lambda name: int(name.removeprefix('video')))
    return f' (there are {", ".join(f"{DEVICES}/{name}" for name in names)})'


def _fourcc_name(code: int) -> str:
    name = (code & 0xFFFFFFFF).to_bytes(4, 'little').decode('ascii', 'replace')
    return name if code > 0 and name.isprintable() else ''
