# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The little of OpenCV's VideoCapture that videos and cameras use, so that it can be replaced."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt


class Capture(Protocol):
    """What is used of :class:`cv2.VideoCapture`."""

    def isOpened(self) -> bool:  # noqa: N802
        """Tell whether the device or file was opened."""
        ...

    def read(self) -> tuple[bool, Any]:
        """Give the next frame in BGR, or (False, None)."""
        ...

    def get(self, propId: int, /) -> float:  # noqa: N803
        """Read a property; 0 where there is none."""
        ...

    def set(self, propId: int, value: float, /) -> bool:  # noqa: N803
        """Set a property; whether it took effect is seen by reading it back."""
        ...

    def release(self) -> None:
        """Free the device or file."""
        ...


CaptureFactory: TypeAlias = Callable[[Any], Capture]
"""Opens a device index, device path or file."""


def open_video_capture(path: str) -> Capture:
    """Open a video file."""
    return cv2.VideoCapture(path)


def open_camera_capture(device: int | str) -> Capture:
    """Open a camera; on Linux through Video4Linux, whose settings are the ones set here."""
    return cv2.VideoCapture(
        device, cv2.CAP_V4L2 if sys.platform.startswith('linux') else cv2.CAP_ANY
    )


def read_rgb(capture: Capture) -> npt.NDArray[np.uint8] | None:
    """
    Read one frame.

    :returns: (H, W, 3) uint8 RGB, or None when none came or it could not be decoded.
    """
    try:
        done, frame = capture.read()
        if not done or frame is None or frame.size == 0:
            return None
        grey = frame.ndim == 2 or frame.shape[2] == 1
        rgb = cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB)
    except cv2.error:
        return None
    return np.asarray(rgb, np.uint8)
