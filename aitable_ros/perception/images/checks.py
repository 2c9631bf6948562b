# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is demanded of arrays before they are worked on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def check_image(image: npt.NDArray) -> None:
    """
    Refuse what is not an RGB image.

    :param image: expected: (H, W, 3) uint8 RGB with at least one pixel.
    :raises ValueError: for anything else, saying what came.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or image.size == 0
    ):
        got = (
            f'{image.dtype.name}{list(image.shape)}'
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise ValueError(f'expected an image uint8[H,W,3] with at least one pixel, got {got}')


def check_float32(name: str, array: npt.NDArray, shape: tuple[int, ...]) -> None:
    """
    Refuse an array of another shape or element type.

    :param name: of the array, for the message.
    :param array: expected: float32 of that shape.
    :param shape: all sides.
    :raises ValueError: for anything else, saying what came.
    """
    if array.shape != shape or array.dtype != np.float32:
        sides = ','.join(map(str, shape))
        raise ValueError(f'{name}: expected float32[{sides}], got {array.dtype}{array.shape}')
