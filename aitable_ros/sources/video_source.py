# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A video file as a frame source."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.decoding import DEFAULT_MAX_PIXELS
from aitable_ros.sources.capture import Capture, CaptureFactory, open_video_capture, read_rgb
from aitable_ros.sources.containers import mirrored
from aitable_ros.sources.frame_source import (
    DEFAULT_FPS,
    FrameSource,
    Item,
    SourceError,
    check_readable,
    check_request,
    plausible_fps,
    resized,
)

_logger = logging.getLogger(__name__)


class VideoSource(FrameSource):
    """
    A video file, decoded by OpenCV.

    Times are those the file gives its frames (also at a variable rate), or, where a rate is
    asked for, that rate's.

    :param path: the file.
    :param width: scale to this width; None: in proportion to the height, or not at all.
    :param height: scale to this height; None: in proportion to the width, or not at all.
    :param fps: play at this rate, all frames; None: at the file's own.
    :param loop: start again at the end.
    :param capture_factory: opens the file.
    :raises SourceError: when the file cannot be read or decoded.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        loop: bool = True,
        capture_factory: CaptureFactory = open_video_capture,
    ) -> None:
        check_request(width, height, fps)
        check_readable(path)
        self._path = path
        self._factory = capture_factory
        self._wish = (width, height)
        self._loop = loop
        self._keeps_file_times = fps is None
        self._warned = False
        self._turn = mirrored(path)
        self._last_s = -1.0
        self._capture: Capture | None = None
        # The first frame of a pass is read when the file is opened, to see that it can be.
        self._ahead: npt.NDArray[np.uint8] | None = self._begin()
        assert self._capture is not None
        file_fps = self._capture.get(cv2.CAP_PROP_FPS)
        fps = fps or (file_fps if plausible_fps(file_fps) else DEFAULT_FPS)
        super().__init__(f'video {path}', (self._ahead.shape[1], self._ahead.shape[0]), fps)

    def _next(self, stopping: threading.Event | None) -> Item | None:
        image, self._ahead = self._ahead, None
        if image is None:
            image = self._decode()
        if image is None:
            self._warn_if_cut_short()
            self._release()
            if not self._loop:
                return None
            image = self._begin()
        self._passed += 1
        self._last_s = self._time_s()
        return image, self._last_s, None

    def _begin(self) -> npt.NDArray[np.uint8]:
        """Open the file and decode its first frame; seeking back fails with some codecs."""
        self._capture = self._factory(str(self._path))
        width, height = (
            self._capture.get(side)
            for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if width * height > DEFAULT_MAX_PIXELS:
            self._release()
            raise SourceError(
                f'{self._path} is too large: {width:.0f}x{height:.0f} pixels are more than the'
                f' {DEFAULT_MAX_PIXELS} allowed'
            )
        if self._turn and not self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0):
            self._turn = None
        image = self._decode() if self._capture.isOpened() else None
        if image is None:
            self._release()
            raise SourceError(
                f'{self._path} cannot be decoded as a video: damaged, not a video, or of a codec '
                'that OpenCV lacks here'
            )
        self._passed = 0
        self._first_position_s = self._position_s()
        self._offset_s: float | None = None
        return image

    def _decode(self) -> npt.NDArray[np.uint8] | None:
        if self._capture is None:
            return None
        image = read_rgb(self._capture)
        if image is not None and self._turn:
            image = self._turn(image)
        return None if image is None else resized(image, *self._wish)

    def _position_s(self) -> float:
        assert self._capture is not None
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0

    def _time_s(self) -> float:
        """Time of the frame just decoded."""
        if not self._keeps_file_times:
            return self._index / self.fps
        following_s = self._last_s + 1.0 / self.fps if self._index else 0.0
        if self._offset_s is None:
            self._offset_s = following_s
            return following_s
        time_s = self._offset_s + self._position_s() - self._first_position_s
        # Some containers give no times, or times that go back.
        return time_s if time_s > self._last_s else following_s

    def _warn_if_cut_short(self) -> None:
        if self._capture is None or self._warned:
            return
        announced = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if 0 < self._passed < announced:
            self._warned = True
            _logger.warning(
                '%s: decoding ended after %d of the %d frames that the file announces',
                self.name,
                self._passed,
                announced,
            )

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _close(self) -> None:
        self._release()
