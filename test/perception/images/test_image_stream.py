# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What continues an image stream, and what begins another."""

from __future__ import annotations

import numpy as np
import pytest

from aitable_ros.perception.images.image_stream import ImageStream

IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)


def test_any_image_can_be_the_first():
    assert ImageStream().advance(IMAGE, -7.0) == 0.0


def test_the_next_has_the_same_size_and_is_not_earlier():
    stream = ImageStream()
    stream.advance(IMAGE, 5.0)
    assert stream.advance(IMAGE, 5.25) == 0.25
    assert stream.advance(IMAGE, 5.25) == 0.0
    assert stream.advance(IMAGE, 4.9) is None
    assert stream.advance(IMAGE[:, :5], 8.0) is None
    assert stream.advance(IMAGE[:, :5], 8.5) == 0.5


@pytest.mark.parametrize('stamp_s', [float('nan'), float('inf')])
def test_what_is_not_an_image_or_a_time_is_refused(stamp_s):
    stream = ImageStream()
    with pytest.raises(ValueError, match='stamp_s: expected a finite number'):
        stream.advance(IMAGE, stamp_s)
    with pytest.raises(ValueError, match='expected an image'):
        stream.advance(IMAGE[0], 1.0)
