# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""PNG files that libpng would complain about on standard error do not get there."""

from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from aitable_ros.perception.images.decoding import MalformedImageError, image_to_rgb
from aitable_ros.perception.images.png import plain_png

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
FILE = cv2.imencode('.png', PIXELS[..., ::-1])[1].tobytes()
HEAD = 33  # signature and IHDR


def message(data):
    return SimpleNamespace(format='png', data=data)


def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', crc)


def test_the_picture_stays_what_it_is():
    assert plain_png(FILE) == FILE
    assert (image_to_rgb(message(FILE)) == PIXELS).all()


def test_what_does_not_make_the_picture_is_left_out(capfd):
    profile = chunk(b'iCCP', b'x\0\0' + zlib.compress(b'no profile'))
    spoken = FILE[:HEAD] + profile + chunk(b'tEXt', b'a\0b') + FILE[HEAD:] + b'behind the end'
    assert plain_png(spoken) == FILE
    assert (image_to_rgb(message(spoken)) == PIXELS).all()
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize('at', [HEAD - 2, HEAD + 20, len(FILE) // 2, len(FILE) - 18])
def test_a_damaged_byte_is_found_before_libpng_says_so(at, capfd):
    damaged = bytearray(FILE)
    damaged[at] ^= 4
    with pytest.raises(MalformedImageError, match='PNG'):
        image_to_rgb(message(bytes(damaged)))
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize('size', [HEAD, HEAD + 5, len(FILE) // 2, len(FILE) - 1])
def test_a_file_that_was_cut_short_says_so(size, capfd):
    with pytest.raises(MalformedImageError, match='cut short'):
        image_to_rgb(message(FILE[:size]))
    assert capfd.readouterr().err == ''
