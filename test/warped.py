# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What OpenCV's bilinear warpAffine gives, for machines without OpenCV."""

from __future__ import annotations

import numpy as np


def warp(image, maps, size, *, replicate):
    """
    Cut regions out; test_crops.py compares it with OpenCV.

    :param image: (H, W, 3) uint8.
    :param maps: (N, 2, 3) from crop to image.
    :param size: lines and columns of a crop.
    :returns: (N, *size, 3) uint8.
    """
    return np.stack([_warp(image, np.asarray(map_, np.float64), size, replicate) for map_ in maps])


def _warp(image, map_, size, replicate):
    height, width = image.shape[:2]
    y, x = np.arange(size[0])[:, None], np.arange(size[1])[None]
    # places in 1/1024, rounded to 1/32
    u, v = (
        (
            np.rint((map_[i, 1] * y + map_[i, 2]) * 1024).astype(np.int64)
            + 16
            + np.rint(map_[i, 0] * x * 1024).astype(np.int64)
        )
        >> 5
        for i in (0, 1)
    )
    total = np.zeros((*size, 3), np.int64)
    for down in (0, 1):
        for right in (0, 1):
            row, column = (v >> 5) + down, (u >> 5) + right
            taken = image[row.clip(0, height - 1), column.clip(0, width - 1)].astype(np.int64)
            if not replicate:
                taken[(row < 0) | (row >= height) | (column < 0) | (column >= width)] = 0
            weight_x = u & 31 if right else 32 - (u & 31)
            weight_y = v & 31 if down else 32 - (v & 31)
            total += (weight_x * weight_y)[..., None] * taken
    return ((total + 512) >> 10).astype(np.uint8)


def some_maps(count, size, picture, seed=0):
    """Return maps of turned and scaled regions in and around a picture (height, width)."""
    rng = np.random.default_rng(seed)
    maps = np.empty((count, 2, 3))
    for map_ in maps:
        scale, angle = rng.uniform(0.2, 6.0), rng.uniform(-np.pi, np.pi)
        a, b = scale * np.cos(angle), scale * np.sin(angle)
        cx, cy = rng.uniform(-0.1, 1.1, 2) * picture[::-1]
        half = 0.5 * size
        map_[:] = ((a, -b, cx + half * (b - a)), (b, a, cy - half * (a + b)))
    return maps
