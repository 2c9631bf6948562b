# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""OpenCV's VideoCapture, as videos and cameras use it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Capture: TypeAlias = cv2.VideoCapture

CaptureFactory: TypeAlias = Callable[[Any], Capture]
"""Opens a file."""


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
