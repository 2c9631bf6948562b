# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""PNG files, looked at before libpng does: it writes its warnings to standard error, unasked."""

from __future__ import annotations

import struct
import zlib

from aitable_ros.perception.images.headers import PNG_SIGNATURE

_OF_THE_PICTURE = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')


def plain_png(data: bytes) -> bytes:
    """
    Check a PNG file's chunks, and leave out those that do not make the picture.

    Colour profiles and the like are ignored by OpenCV, but warned of (PNG specification, 5.3).

    :param data: the file.
    :returns: a file of the same pixels.
    :raises ValueError: when a chunk is damaged, or the end is missing.
    """
    kept, at, kind = [PNG_SIGNATURE], len(PNG_SIGNATURE), b''
    while kind != b'IEND':
        size, kind = struct.unpack('>I4s', data[at : at + 8].ljust(8, b'\0'))
        chunk = data[at : at + size + 12]
        if len(chunk) < size + 12:
            raise ValueError('PNG without an end, so it was cut short')
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], 'big'):
            raise ValueError('PNG with a damaged chunk')
        if kind in _OF_THE_PICTURE:
            kept.append(chunk)
        at += size + 12
    return b''.join(kept)
