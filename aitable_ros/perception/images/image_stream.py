# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether an image continues the stream of those before it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.checks import check_image


class ImageStream:
    """Where an image stream stands: the size of its images, and when the last one was taken."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._shape: tuple[int, ...] | None = None

    def continues(self, image: npt.NDArray[np.uint8], stamp_s: float) -> bool:
        """
        Tell whether an image can be the stream's next: it has the same size and is not earlier.

        Any image can be the first.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: header time of the image [s].
        :raises ValueError: when the image is not one, or the stamp is not finite.
        """
        check_image(image)
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        if self._last_s is None:
            return True
        return stamp_s >= self._last_s and image.shape == self._shape

    def advance(self, image: npt.NDArray[np.uint8], stamp_s: float) -> float:
        """
        Take the stream's next image.

        :param image: one that :meth:`continues` it.
        :param stamp_s: its header time [s].
        :returns: how long ago the image before was taken [s]; 0 for the first.
        """
        gap_s = 0.0 if self._last_s is None else stamp_s - self._last_s
        self._last_s = stamp_s
        self._shape = image.shape
        return gap_s
