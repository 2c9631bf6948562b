# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
ROS image messages to RGB arrays.

Images inside the package are (H, W, 3) uint8 RGB; this module is where they enter it. Messages
are whatever has the fields of sensor_msgs/Image or CompressedImage: from a topic or out of a bag.

Messages come from anyone on the network, so everything a message says about itself is checked
against its data before anything is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.headers import (
    JPEG_SIGNATURE,
    PNG_SIGNATURE,
    HeaderError,
    is_cut_short,
    jpeg_header,
    png_header,
)
from aitable_ros.perception.images.png import plain_png

DEFAULT_MAX_PIXELS = 64_000_000
"""Largest image accepted: above every camera in use, and 192 MB as RGB."""


class ImageConversionError(ValueError):
    """An image could not be converted; the base of the errors of this module."""


class MalformedImageError(ImageConversionError):
    """What the message says of its size, layout or format disagrees with its data."""


class UnsupportedEncodingError(ImageConversionError):
    """The message may be sound, but nothing here can turn its encoding into RGB."""


@dataclass(frozen=True)
class _Layout:
    """
    How one encoding lays out its pixels in a row.

    :param channels: samples per pixel.
    :param sample_bytes: bytes per sample; 1 or 2.
    :param to_rgb: OpenCV colour conversion code; None where the samples are RGB already.
    :param even: the width and the height must be even (per axis).
    """

    channels: int
    to_rgb: int | None
    sample_bytes: int = 1
    even: tuple[bool, bool] = (False, False)


# Names: sensor_msgs/image_encodings.hpp (there 'yuv422' is UYVY and 'yuv422_yuy2' YUYV).
# Arrays published by OpenCV programs without naming the channels carry the type ('8UC3');
# they are in OpenCV's order, BGR.
# OpenCV names a Bayer pattern by its second row, second column: its BG is RGGB.
_BAYER_TO_RGB = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}
_LAYOUTS: dict[str, _Layout] = {
    'rgb8': _Layout(3, None),
    'bgr8': _Layout(3, cv2.COLOR_BGR2RGB),
    '8UC3': _Layout(3, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(4, cv2.COLOR_BGRA2RGB),
    '8UC4': _Layout(4, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout(1, cv2.COLOR_GRAY2RGB),
    '8UC1': _Layout(1, cv2.COLOR_GRAY2RGB),
    'rgb16': _Layout(3, None, 2),
    'bgr16': _Layout(3, cv2.COLOR_BGR2RGB, 2),
    '16UC3': _Layout(3, cv2.COLOR_BGR2RGB, 2),
    'rgba16': _Layout(4, cv2.COLOR_RGBA2RGB, 2),
    'bgra16': _Layout(4, cv2.COLOR_BGRA2RGB, 2),
    '16UC4': _Layout(4, cv2.COLOR_BGRA2RGB, 2),
    'mono16': _Layout(1, cv2.COLOR_GRAY2RGB, 2),
    '16UC1': _Layout(1, cv2.COLOR_GRAY2RGB, 2),
    'yuv422': _Layout(2, cv2.COLOR_YUV2RGB_UYVY, even=(True, False)),
    'uyvy': _Layout(2, cv2.COLOR_YUV2RGB_UYVY, even=(True, False)),
    'yuv422_yuy2': _Layout(2, cv2.COLOR_YUV2RGB_YUY2, even=(True, False)),
    'yuyv': _Layout(2, cv2.COLOR_YUV2RGB_YUY2, even=(True, False)),
}
for _pattern, _code in _BAYER_TO_RGB.items():
    _LAYOUTS[f'bayer_{_pattern}8'] = _Layout(1, _code, even=(True, True))
    _LAYOUTS[f'bayer_{_pattern}16'] = _Layout(1, _code, 2, even=(True, True))

_SEMI_PLANAR = {
    'nv12': cv2.COLOR_YUV2RGB_NV12,
    'nv21': cv2.COLOR_YUV2RGB_NV21,
}

SUPPORTED_ENCODINGS: tuple[str, ...] = (*_LAYOUTS, *_SEMI_PLANAR)
"""Encodings of sensor_msgs/Image that are converted."""

_SHOWN = 40
"""So much of a text out of a message is told."""

_BITS_IN_USE = (10, 12, 14, 16)


def image_to_rgb(
    msg: Any, *, max_pixels: int = DEFAULT_MAX_PIXELS, contiguous: bool = True
) -> npt.NDArray[np.uint8]:
    """
    Convert a raw or compressed image message to RGB.

    Raw images may have any encoding of :data:`SUPPORTED_ENCODINGS`, padded rows (``step``) and
    either byte order. Of samples of 16 bits those that are in use count, see :func:`to_8_bits`.
    Alpha is dropped. YUV is taken as ITU-R BT.601, limited range, which is what cameras send.
    ``8UC3`` and ``8UC4`` are taken as BGR(A), the order of the OpenCV programs that publish them.

    The data length must be exactly ``step * height`` (nv12, nv21: ``step * height * 3 / 2``,
    where ``step`` is the row length of the luma plane; also ``step * height`` where ``step``
    counts the chroma in, ``width * 3 / 2``).

    Compressed images must be JPEG or PNG, as their first bytes tell; of the ``format`` field
    only two things are used: compressed depth images are refused, and a single-channel
    picture of a ``bayer_...`` image is demosaicked, unless its last word is ``mono8``: then it
    is grey (compressed_image_transport from 2.3.2 on). Colours are those the file declares. The
    orientation in EXIF data is ignored, so that pixels stay where the camera's calibration
    has them.

    :param msg: the message; it is not changed.
    :param max_pixels: images of more pixels (width * height) are refused before they are
        decoded or copied.
    :param contiguous: False: of a ``bgr8`` message a view will do that reads it backwards.
    :returns: (H, W, 3) uint8 RGB, C-contiguous and always read-only: of a tightly packed
        ``rgb8`` message it is a view of the message's own data, which cannot be resized while
        the view lives and must not be written to.
    :raises MalformedImageError: when the message contradicts itself or cannot be decoded.
    :raises UnsupportedEncodingError: when nothing here can convert the encoding.
    """
    if hasattr(msg, 'encoding'):
        rgb = _raw_to_rgb(msg, max_pixels, contiguous)
    else:
        rgb = _compressed_to_rgb(msg, max_pixels)
    rgb.flags.writeable = False
    return rgb


def to_8_bits(samples: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """
    Take the upper 8 of the bits that are in use: 10, 12, 14 or 16.

    Cameras of fewer than 16 bits, infrared ones for most, leave the upper bits at 0. How many
    they have, no message and hardly a file says; so the picture's own highest value decides.
    A picture that would be nearly black else (up to 12 bits) is always made brighter; one of 14
    bits only where the lowest are in use: else a left-aligned one is dark.

    :param samples: array of uint16 in any byte order.
    :returns: uint8[...], contiguous.
    """
    native = np.ascontiguousarray(samples, np.uint16)
    used = int(np.bitwise_or.reduce(native, axis=None))
    bits = next(bits for bits in _BITS_IN_USE if used < 1 << bits)
    if bits == _BITS_IN_USE[-2] and not used & 3:
        bits = _BITS_IN_USE[-1]
    return (native >> (bits - 8)).astype(np.uint8)


def _raw_to_rgb(msg: Any, max_pixels: int, contiguous: bool) -> npt.NDArray[np.uint8]:
    width, height, step = int(msg.width), int(msg.height), int(msg.step)
    encoding = str(msg.encoding)
    if encoding not in SUPPORTED_ENCODINGS:  # of which nothing is known, nor whether it is sound
        raise UnsupportedEncodingError(
            f'encoding {encoding[:_SHOWN]!r} is not among {", ".join(SUPPORTED_ENCODINGS)}'
        )
    what = f'{encoding or "unnamed"} image of {width}x{height} pixels'
    _check_size(width, height, max_pixels, what)
    data = bytes_of(msg.data)
    if encoding in _SEMI_PLANAR:
        return _semi_planar_to_rgb(data, width, height, step, _SEMI_PLANAR[encoding], what)
    layout = _LAYOUTS[encoding]
    _check_even(width, height, layout.even, what)
    pixel_bytes = layout.channels * layout.sample_bytes
    if step < width * pixel_bytes:
        raise MalformedImageError(
            f'{what}: step is {step} bytes, but a row of {width} pixels has {width * pixel_bytes}'
        )
    _check_length(data, step * height, f'step {step} * height', what)

    dtype = 'u1' if layout.sample_bytes == 1 else '>u2' if msg.is_bigendian else '<u2'
    shape = (height, width, layout.channels)
    strides = (step, pixel_bytes, layout.sample_bytes)
    samples: npt.NDArray[Any] = np.ndarray(shape, dtype, data.data, strides=strides)
    if layout.sample_bytes == 2:
        samples = to_8_bits(samples)
    if layout.to_rgb is None:
        return np.ascontiguousarray(samples)
    if layout.to_rgb == cv2.COLOR_BGR2RGB and not contiguous:
        return samples[..., ::-1]
    return _to_rgb(samples, layout.to_rgb, what)


def _semi_planar_to_rgb(
    data: npt.NDArray[np.uint8], width: int, height: int, step: int, code: int, what: str
) -> npt.NDArray[np.uint8]:
    _check_even(width, height, (True, True), what)
    rows = height + height // 2
    if step == width * 3 // 2 and data.size == step * height:
        step = width  # the driver spread the chroma over the rows when it computed the step
    if step < width:
        raise MalformedImageError(
            f'{what}: step is {step} bytes, but a luma row of {width} pixels has {width}'
        )
    _check_length(data, step * rows, f'step {step} * height * 3/2', what)
    return _to_rgb(data.reshape(rows, step)[:, :width], code, what)


def _compressed_to_rgb(msg: Any, max_pixels: int) -> npt.NDArray[np.uint8]:
    declared = str(msg.format)
    what = f"compressed image ('{declared[:_SHOWN]}')"
    if 'compressedDepth' in declared:
        raise UnsupportedEncodingError(f'{what}: this is a depth image, not a picture')
    data = bytes_of(msg.data)
    if data.size == 0:
        raise MalformedImageError(f'{what}: no data')
    head = data[: len(PNG_SIGNATURE)].tobytes()
    is_jpeg = head.startswith(JPEG_SIGNATURE)
    if not is_jpeg and head != PNG_SIGNATURE:
        raise UnsupportedEncodingError(
            f'{what}: neither JPEG nor PNG, it begins with {head.hex(" ")}'
        )
    try:
        width, height, grey, _ = (jpeg_header if is_jpeg else png_header)(data.data)
    except HeaderError as error:
        raise MalformedImageError(f'{what}: {error}') from error
    # Old OpenCV versions fill what is missing with grey.
    if is_jpeg and is_cut_short(data.tobytes()):
        raise MalformedImageError(f'{what}: JPEG without an end, so it was cut short')
    what = f'{what} of {width}x{height} pixels'
    _check_size(width, height, max_pixels, what)
    if head == PNG_SIGNATURE:
        try:
            data = np.frombuffer(plain_png(data.tobytes()), np.uint8)
        except ValueError as error:
            raise MalformedImageError(f'{what}: cannot be decoded: {error}') from error

    bayer = None
    if grey and declared.startswith('bayer_') and not declared.endswith(' mono8'):
        bayer = _LAYOUTS.get(declared.split(';')[0].strip())
    flags = cv2.IMREAD_COLOR if bayer is None else cv2.IMREAD_GRAYSCALE
    try:
        # Also drops alpha.
        flags |= cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        picture: Any = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise MalformedImageError(f'{what}: cannot be decoded: {error}') from error
    if picture is None:
        raise MalformedImageError(f'{what}: cannot be decoded')
    if picture.shape[:2] != (height, width):
        raise MalformedImageError(
            f'{what}: decoded to {picture.shape[1]}x{picture.shape[0]} pixels'
        )
    if picture.dtype == np.uint16:
        picture = to_8_bits(picture)
    if bayer is not None and bayer.to_rgb is not None:
        _check_even(width, height, bayer.even, what)
        return _to_rgb(picture, bayer.to_rgb, what)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=picture), np.uint8)


def _to_rgb(pixels: npt.NDArray[np.uint8], code: int, what: str) -> npt.NDArray[np.uint8]:
    try:
        rgb = cv2.cvtColor(pixels, code)
    except cv2.error as error:
        raise MalformedImageError(f'{what}: cannot be converted: {error}') from error
    return np.asarray(rgb, np.uint8)


def bytes_of(data: Any) -> npt.NDArray[np.uint8]:
    """
    Return what a field ``uint8[]`` holds.

    :param data: array.array, whose memory it is; or, from Lyrical on, ``rosidl_buffer.Buffer`` of
        memory that is not the CPU's, which is copied.
    """
    if hasattr(data, 'to_array'):
        data = data.to_array()
    # np.frombuffer refuses an empty buffer.
    return np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)


def _check_size(width: int, height: int, max_pixels: int, what: str) -> None:
    if width <= 0 or height <= 0:
        raise MalformedImageError(f'{what}: it has no pixels')
    if width * height > max_pixels:
        raise MalformedImageError(f'{what}: more than the {max_pixels} pixels allowed')


def _check_even(width: int, height: int, even: tuple[bool, bool], what: str) -> None:
    for name, value, must in (('width', width, even[0]), ('height', height, even[1])):
        if must and value % 2:
            raise MalformedImageError(f'{what}: the encoding needs an even {name}')


def _check_length(data: npt.NDArray[np.uint8], want: int, formula: str, what: str) -> None:
    if data.size != want:
        raise MalformedImageError(
            f'{what}: {data.size} bytes of data, but {formula} = {want} bytes'
        )
