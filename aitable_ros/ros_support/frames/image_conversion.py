# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""RGB arrays to ROS image messages, which is how images leave the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.decoding import ImageConversionError

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

DEFAULT_JPEG_QUALITY = 90


def rgb_to_image(rgb: npt.NDArray[np.uint8], header: Header, encoding: str = 'rgb8') -> Image:
    """
    Make an image message.

    :param rgb: (H, W, 3) uint8 RGB; it is copied.
    :param header: header of the message, usually that of the image this one was made from; it
        is referred to, not copied.
    :param encoding: ``rgb8``, ``bgr8`` or ``mono8``.
    :raises ImageConversionError: when the array or the encoding is of another kind.
    """
    from sensor_msgs.msg import Image

    _check_rgb(rgb)
    if encoding == 'bgr8':
        pixels = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
    elif encoding == 'mono8':
        pixels = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    elif encoding == 'rgb8':
        pixels = np.ascontiguousarray(rgb)
    else:
        raise ImageConversionError(f"cannot write encoding '{encoding}': use rgb8, bgr8 or mono8")
    msg = Image()
    msg.header = header
    msg.height, msg.width = pixels.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = 0
    msg.step = pixels.strides[0]
    # Assigning to `data` checks every byte in Python (Humble; 100 ms for VGA) or copies once
    # more (Jazzy); the array that a new message holds can be filled directly.
    msg.data.frombytes(pixels.data)
    return msg


def rgb_to_compressed(
    rgb: npt.NDArray[np.uint8], header: Header, quality: int = DEFAULT_JPEG_QUALITY
) -> CompressedImage:
    """
    Make a compressed image message (JPEG).

    :param rgb: (H, W, 3) uint8 RGB.
    :param header: header of the message; it is referred to, not copied.
    :param quality: JPEG quality, 1 to 100.
    :raises ImageConversionError: when the array or the quality is out of range, or the encoder
        fails (JPEG ends at 65535 pixels per side).
    """
    from sensor_msgs.msg import CompressedImage

    _check_rgb(rgb)
    if not 1 <= quality <= 100:
        raise ImageConversionError(f'JPEG quality must be 1..100, got {quality}')
    try:
        done, encoded = cv2.imencode(
            '.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
    except cv2.error as error:
        raise ImageConversionError(f'JPEG encoder: {error}') from error
    if not done:
        raise ImageConversionError(
            f'JPEG encoder refused an image of {rgb.shape[1]}x{rgb.shape[0]} pixels'
        )
    msg = CompressedImage()
    msg.header = header
    # The last word tells image_transport's subscriber that the file's colours are as usual.
    msg.format = 'rgb8; jpeg compressed bgr8'
    msg.data.frombytes(encoded.data)
    return msg


def _check_rgb(rgb: npt.NDArray[np.uint8]) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ImageConversionError(
            f'expected (H, W, 3) uint8 RGB, got {rgb.dtype.name}{list(rgb.shape)}'
        )
