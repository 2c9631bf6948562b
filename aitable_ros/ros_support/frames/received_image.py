# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Raw images as they are received: rclpy would copy the pixels once more, and make an Image."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from aitable_ros.perception.images.decoding import MalformedImageError

_CDR = {b'\0\0': '>', b'\0\1': '<'}
"""Byte order, by the first two bytes; others are encodings with another layout."""


@dataclass(frozen=True, eq=False)
class ReceivedImage:
    """
    The fields of a sensor_msgs/Image.

    :param data: a view of the serialised message.
    """

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def read_image(serialized: bytes) -> ReceivedImage | Image:
    """
    Read a serialised sensor_msgs/Image (XCDR1: OMG DDS-XTypes 1.3, 7.4.3).

    :param serialized: as a raw subscription gets it.
    :returns: what of it can be read here, else what rclpy makes of it.
    :raises MalformedImageError: for what is no such message.
    """
    try:
        return _read(serialized, _CDR[serialized[:2]])
    except (KeyError, IndexError, ValueError, struct.error):
        pass
    try:
        return deserialize_message(serialized, Image)
    except Exception as error:  # of rmw: what it is called differs
        raise MalformedImageError(f'sensor_msgs/Image cannot be read: {error}') from error


def _read(serialized: bytes, order: str) -> ReceivedImage:
    header = Header()
    stamp = header.stamp
    stamp.sec, stamp.nanosec = struct.unpack_from(f'{order}iI', serialized, 4)
    header.frame_id, place = _text(serialized, 12, order)
    height, width = struct.unpack_from(f'{order}II', serialized, place)
    encoding, place = _text(serialized, place + 8, order, align=1)
    is_bigendian = serialized[place]
    step, size = struct.unpack_from(f'{order}II', serialized, _aligned(place + 1))
    data = memoryview(serialized)[_aligned(place + 1) + 8 :][:size]
    if len(data) != size:
        raise ValueError(size)
    return ReceivedImage(header, height, width, encoding, is_bigendian, step, data)


def _text(serialized: bytes, place: int, order: str, align: int = 4) -> tuple[str, int]:
    """Read a text; give it, and where the next field is."""
    (size,) = struct.unpack_from(f'{order}I', serialized, place)
    end = place + 4 + size
    text = serialized[place + 4 : max(end - 1, place + 4)].decode()
    return text, _aligned(end, align)


def _aligned(place: int, size: int = 4) -> int:
    # counted from behind the four bytes that tell the encoding
    return place + -place % size
