# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Small pictures of a report."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.tools.report.digest import Digest

PICTURE_EVERY_S = 60.0
PICTURE_WIDTH_PX = 240
_JPEG_QUALITY = 80


def add_picture(digest: Digest, stamp_s: float, rgb: npt.NDArray[np.uint8]) -> None:
    """
    Put a picture into a report.

    :param rgb: (H, W, 3) uint8, with nothing in it that must not be seen.
    """
    height, width = rgb.shape[:2]
    size = (PICTURE_WIDTH_PX, max(1, round(height * PICTURE_WIDTH_PX / width)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode('.jpg', small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if done:
        digest.pictures.append((stamp_s, jpeg.tobytes()))
