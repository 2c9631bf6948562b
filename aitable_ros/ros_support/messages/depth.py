# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Depth image messages (REP-118) to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aitable_ros.perception.images.decoding import (
    DEFAULT_MAX_PIXELS,
    MalformedImageError,
    UnsupportedEncodingError,
    bytes_of,
)
from aitable_ros.perception.posture.distance import DepthImage

if TYPE_CHECKING:
    from sensor_msgs.msg import Image

_TYPES = {'16UC1': ('u2', 0.001), 'mono16': ('u2', 0.001), '32FC1': ('f4', 1.0)}
"""Encoding -> (sample type, length of 1 in metres)."""


def depth_from_message(msg: Image, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> DepthImage:
    """
    Read a depth image without copying it.

    :param msg: sensor_msgs/Image of encoding 16UC1 (or mono16: millimetres, 0 is a hole) or 32FC1
        (metres, NaN is a hole), either byte order, rows may be padded.
    :param max_pixels: images of more pixels are refused.
    :returns: a view of the message's data, which must not be changed while it is used.
    :raises UnsupportedEncodingError: for another encoding.
    :raises MalformedImageError: when size, step and data disagree.
    """
    if msg.encoding not in _TYPES:
        raise UnsupportedEncodingError(
            f'depth image of encoding {msg.encoding!r}: expected {", ".join(_TYPES)}'
        )
    code, unit_m = _TYPES[msg.encoding]
    dtype = np.dtype(('>' if msg.is_bigendian else '<') + code)
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    if not (height > 0 and width > 0 and height * width <= max_pixels):
        raise MalformedImageError(f'depth image of {width} x {height} pixels')
    if step < width * dtype.itemsize or len(msg.data) != step * height:
        raise MalformedImageError(
            f'depth image of {width} x {height} pixels, {msg.encoding}, step {step}: '
            f'{len(msg.data)} bytes of data'
        )
    rows = bytes_of(msg.data).reshape(height, step)
    values = np.ndarray((height, width), dtype, rows, strides=(step, dtype.itemsize))
    return DepthImage(values, unit_m)
