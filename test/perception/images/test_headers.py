# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The size of a picture is known before it is decoded, whatever its format."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from aitable_ros.perception.images.headers import (
    HeaderError,
    PictureHeader,
    is_cut_short,
    read_header,
)


def encoded(suffix: str, dtype: str = 'u1', channels: int = 3, *options: int) -> bytes:
    picture = np.random.default_rng(1).integers(0, 200, (37, 61, channels)).astype(dtype)
    return cv2.imencode(suffix, picture, options)[1].tobytes()


@pytest.mark.parametrize(
    'data',
    [
        encoded('.bmp'),
        encoded('.jpg'),
        encoded('.jpg', 'u1', 3, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        encoded('.png'),
        encoded('.png', 'u2', 4),
        encoded('.tif'),
        encoded('.tif', 'u2', 3, cv2.IMWRITE_TIFF_COMPRESSION, 8),
        encoded('.webp'),
        encoded('.webp', 'u1', 4, cv2.IMWRITE_WEBP_QUALITY, 101),
        encoded('.webp', 'u1', 4, cv2.IMWRITE_WEBP_QUALITY, 50),
        struct.pack('<2sIIIIHHHH', b'BM', 0, 0, 26, 12, 61, 37, 1, 24) + bytes(9),
        b'MM\0*\0\0\0\x08\0\x02' + struct.pack('>HHIHHHHII', 256, 3, 1, 61, 0, 257, 4, 1, 37)[:24],
    ],
    ids=lambda data: repr(data[:3]),
)
def test_size(data: bytes) -> None:
    assert read_header(data)[:2] == (61, 37)


@pytest.mark.parametrize(('suffix', 'channels'), [('.pgm', 1), ('.ppm', 3)])
@pytest.mark.parametrize(('dtype', 'white'), [('u1', 255), ('u2', 65535)])
def test_pgm_and_ppm_name_their_white(suffix, channels, dtype, white) -> None:
    assert read_header(encoded(suffix, dtype, channels)) == PictureHeader(61, 37, white=white)
    assert read_header(b'P5 # a\n#b\n 61\t37 # c\n1023\nxx') == PictureHeader(61, 37, white=1023)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize(('channels', 'grey'), [(1, True), (3, False)])
def test_grey(suffix, channels, grey) -> None:
    assert read_header(encoded(suffix, 'u1', channels)).grey is grey


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'text',
        b'P5 61 37 70000\n',
        b'P5 61 37 0\n',
        b'P5 61',
        b'GIF89a' + bytes(30),
        *(encoded(suffix)[:12] for suffix in ('.bmp', '.jpg', '.png', '.tif', '.webp', '.ppm')),
        b'II*\0\x08\0\0\0\xff\xff' + bytes(40),
        b'II*\0\xff\xff\xff\xff',
    ],
    ids=lambda data: repr(data[:8]),
)
def test_damage(data: bytes) -> None:
    with pytest.raises(HeaderError):
        read_header(data)


def test_search_is_bounded() -> None:
    tags = b'II*\0\x08\0\0\0\xff\xff' + bytes(12 * 0xFFFF)
    for data in (tags, b'P5' + b' ' * 10**6, b'P5' + b'#' * 10**6, b'\xff\xd8' + b'\xff' * 10**6):
        with pytest.raises(HeaderError):
            read_header(data)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_cut_short(suffix) -> None:
    data = encoded(suffix)
    assert not is_cut_short(data)
    assert not is_cut_short(data + bytes(100))
    assert is_cut_short(data[: len(data) * 2 // 3])
