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

    def advance(self, image: npt.NDArray[np.uint8], stamp_s: float) -> float | None:
        """
        Take the next image.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: its header time [s].
        :returns: how long ago the image before was taken [s], 0 for the first; None: it begins
            another stream, since it is earlier or of another size.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        """
        check_image(image)
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        last_s, shape = self._last_s, self._shape
        self._last_s, self._shape = stamp_s, image.shape
        if last_s is None:
            return 0.0
        return stamp_s - last_s if stamp_s >= last_s and image.shape == shape else None
