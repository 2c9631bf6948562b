# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How large a picture file is, before anything is decoded or allocated."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
JPEG_SIGNATURE = b'\xff\xd8\xff'

_PNG_GREY = 0
_MAX_JPEG_STEPS = 4096
"""More markers and fill bytes than any picture has before its frame header."""
_MAX_TIFF_TAGS = 1024

_SPACE = rb'(?:\s|#[^\n]*\n)+'
_PNM = re.compile(rb'P[2356]' + 3 * (_SPACE + rb'(\d{1,9})') + rb'\s')
_PNM_HEADER_BYTES = 4096
_TIFF_SIGNATURES = {b'II*\0': '<', b'MM\0*': '>'}
_TIFF_SHORT = 3


class HeaderError(ValueError):
    """The header is damaged, or of no known format; the message is a part of a line."""


class PictureHeader(NamedTuple):
    """
    What a header says.

    :ivar width: [pixels].
    :ivar height: [pixels].
    :ivar grey: of PNG and JPEG: the only channel is grey.
    :ivar white: of PGM and PPM: the value of white; else 0.
    """

    width: int
    height: int
    grey: bool = False
    white: int = 0


def read_header(data: bytes | memoryview) -> PictureHeader:
    """
    Read the header of a BMP, JPEG, PGM, PNG, PPM, TIFF or WebP file.

    :param data: the file.
    :raises HeaderError: when it is damaged or of another format.
    """
    head = bytes(data[:30])
    try:
        if head.startswith(PNG_SIGNATURE):
            return png_header(data)
        if head.startswith(JPEG_SIGNATURE):
            return jpeg_header(data)
        if head[:4] in _TIFF_SIGNATURES:
            return _tiff_header(data, _TIFF_SIGNATURES[head[:4]])
        if head[:4] == b'RIFF' and head[8:12] == b'WEBP':
            return _webp_header(head)
        if head.startswith(b'BM'):
            core = struct.unpack_from('<I', head, 14)[0] == 12
            width, height = struct.unpack_from('<HH' if core else '<ii', head, 18)
            return PictureHeader(abs(width), abs(height))  # the sign is the order of the rows
        pnm = _PNM.match(data[:_PNM_HEADER_BYTES])
        if pnm is not None and 0 < int(pnm[3]) < 1 << 16:
            return PictureHeader(int(pnm[1]), int(pnm[2]), white=int(pnm[3]))
    except struct.error as error:
        raise HeaderError('its header is damaged') from error
    raise HeaderError('unknown format, or damaged')


def is_cut_short(data: bytes) -> bool:
    """
    Tell whether a JPEG or PNG file ends before its picture does.

    :param data: the file; False of other formats.
    """
    if data.startswith(JPEG_SIGNATURE):
        # no other FF D9 (end of image) follows the last FF DA (start of scan); padding may
        return data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda')
    return data.startswith(PNG_SIGNATURE) and b'IEND' not in data[-4096:]


def png_header(data: bytes | memoryview) -> PictureHeader:
    """
    Read the header of a PNG file (PNG specification, 11.2.2 IHDR).

    :param data: the file, which begins with the signature.
    :raises HeaderError: when there is none.
    """
    header = bytes(data[len(PNG_SIGNATURE) : len(PNG_SIGNATURE) + 18])
    if len(header) < 18 or header[4:8] != b'IHDR':
        raise HeaderError('PNG without a header')
    width, height, _, colour_type = struct.unpack_from('>IIBB', header, 8)
    return PictureHeader(width, height, colour_type == _PNG_GREY)


def jpeg_header(data: bytes | memoryview) -> PictureHeader:
    """
    Find the frame header of a JPEG file (ITU-T T.81, B.2.2).

    :param data: the file, which begins with the signature.
    :raises HeaderError: when there is none.
    """
    at = 2
    for _ in range(_MAX_JPEG_STEPS):
        segment = bytes(data[at : at + 4])
        if len(segment) < 4 or segment[0] != 0xFF:
            break
        marker = segment[1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a segment
            at += 2
            continue
        if marker in (0xD8, 0xD9, 0xDA):  # another start, the end, or pixels before a frame header
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = bytes(data[at + 5 : at + 10])
            if len(frame) < 5:
                break
            height, width, components = struct.unpack('>HHB', frame)
            return PictureHeader(width, height, components == 1)
        at += 2 + (segment[2] << 8 | segment[3])
    raise HeaderError('JPEG without a frame header')


def _webp_header(head: bytes) -> PictureHeader:
    """RFC 9649, 2.5 to 2.7."""
    kind = head[12:16]
    if kind == b'VP8X':
        width, height = (int.from_bytes(head[at : at + 3], 'little') + 1 for at in (24, 27))
    elif kind == b'VP8L':
        (sides,) = struct.unpack_from('<I', head, 21)
        width, height = (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', head, 26))
    return PictureHeader(width, height)


def _tiff_header(data: bytes | memoryview, order: str) -> PictureHeader:
    """TIFF 6.0, section 2, of the first picture."""
    (at,) = struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}H', data, at)
    values = {}
    for i in range(min(count, _MAX_TIFF_TAGS)):
        tag, kind, _ = struct.unpack_from(f'{order}HHI', data, at + 2 + 12 * i)
        layout = f'{order}{"H" if kind == _TIFF_SHORT else "I"}'
        (values[tag],) = struct.unpack_from(layout, data, at + 10 + 12 * i)
    if not values.keys() >= {256, 257}:
        raise HeaderError('its header is damaged')
    return PictureHeader(values[256], values[257])
