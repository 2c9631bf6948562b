# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""ROS image messages to RGB arrays, also by cv_bridge, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.decoding import (
    DEFAULT_MAX_PIXELS,
    SUPPORTED_ENCODINGS,
    ImageConversionError,
    UnsupportedEncodingError,
    image_to_rgb,
)

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

DEFAULT_JPEG_QUALITY = 90
_CODES = {'bgr8': cv2.COLOR_RGB2BGR, 'mono8': cv2.COLOR_RGB2GRAY}


def message_to_rgb(msg: Any, *, contiguous: bool = True) -> npt.NDArray[np.uint8]:
    """
    Convert as :func:`~aitable_ros.perception.images.decoding.image_to_rgb` does.

    Other encodings go through cv_bridge where that is installed.

    :param msg: sensor_msgs/Image or CompressedImage; it is not changed.
    :param contiguous: as there.
    :returns: (H, W, 3) uint8 RGB, read-only.
    :raises MalformedImageError: when the message contradicts itself or cannot be decoded.
    :raises UnsupportedEncodingError: when nothing here can convert the encoding.
    """
    try:
        return image_to_rgb(msg, contiguous=contiguous)
    except UnsupportedEncodingError as error:
        if getattr(msg, 'encoding', SUPPORTED_ENCODINGS[0]) in SUPPORTED_ENCODINGS:
            raise
        rgb = _cv_bridge_to_rgb(msg, error)
    rgb.flags.writeable = False
    return rgb


def rgb_to_image(rgb: npt.NDArray[np.uint8], header: Header, encoding: str = 'rgb8') -> Image:
    """
    Make an image message.

    :param rgb: (H, W, 3) uint8 RGB; it is copied.
    :param header: header of the message; it is referred to, not copied.
    :param encoding: ``rgb8``, ``bgr8`` or ``mono8``.
    :raises ImageConversionError: when the array or the encoding is of another kind.
    """
    from sensor_msgs.msg import Image

    _check_rgb(rgb)
    if encoding not in ('rgb8', *_CODES):
        raise ImageConversionError(f"cannot write encoding '{encoding}': use rgb8, bgr8 or mono8")
    pixels: npt.NDArray = np.ascontiguousarray(rgb)
    if encoding in _CODES:
        pixels = cv2.cvtColor(rgb, _CODES[encoding])
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

    encoded = jpeg_of(rgb, quality)
    msg = CompressedImage()
    msg.header = header
    # The last word tells image_transport's subscriber that the file's colours are as usual.
    msg.format = 'rgb8; jpeg compressed bgr8'
    msg.data.frombytes(encoded)
    return msg


def jpeg_of(rgb: npt.NDArray[np.uint8], quality: int = DEFAULT_JPEG_QUALITY) -> bytes:
    """
    Encode an image as a JPEG file.

    :raises ImageConversionError: as :func:`rgb_to_compressed`.
    """
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
    return bytes(encoded.data)


def _check_rgb(rgb: npt.NDArray[np.uint8]) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ImageConversionError(
            f'expected (H, W, 3) uint8 RGB, got {rgb.dtype.name}{list(rgb.shape)}'
        )


def _cv_bridge_to_rgb(msg: Any, unsupported: UnsupportedEncodingError) -> npt.NDArray[np.uint8]:
    try:
        from cv_bridge import CvBridge
    except ImportError as error:
        raise UnsupportedEncodingError(
            f'{unsupported}, and cv_bridge, which might know it, cannot be imported ({error}); '
            'on a ROS machine: apt install ros-$ROS_DISTRO-cv-bridge'
        ) from error
    encoding = str(msg.encoding)
    pixels, size = int(msg.width) * int(msg.height), int(msg.step) * int(msg.height)
    if not 0 < pixels <= min(size, DEFAULT_MAX_PIXELS) or len(msg.data) != size:
        # what is not laid out in rows, cv_bridge does not know either
        raise UnsupportedEncodingError(f'{unsupported}, and its data is not {msg.height} rows')
    try:
        rgb = np.array(CvBridge().imgmsg_to_cv2(msg, 'rgb8'))
    except Exception as error:  # CvBridgeError, but also whatever its NumPy calls raise
        raise UnsupportedEncodingError(
            f"encoding '{encoding}': cv_bridge cannot turn it into rgb8: {error}"
        ) from error
    if rgb.dtype != np.uint8 or rgb.shape != (msg.height, msg.width, 3):
        raise UnsupportedEncodingError(
            f"encoding '{encoding}': cv_bridge made {rgb.dtype.name}{list(rgb.shape)} of it"
        )
    return np.ascontiguousarray(rgb)
