# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which images go on with a stream, which are late, and what begins another."""

from __future__ import annotations

import pytest

from aitable_ros.perception.images.stream_order import LASTING, REPEATED, Source, StreamOrder

ONE, OTHER = Source('left', 640, 480), Source('right', 640, 480)


def after(*stamps_s):
    stream = StreamOrder()
    for stamp_s in stamps_s:
        stream.advance(stamp_s)
    return stream


@pytest.mark.parametrize('stamp_s', [-7.0, 0.0, 1.7e9])
def test_any_image_can_be_the_first(stamp_s):
    assert StreamOrder().advance(stamp_s) == stamp_s


@pytest.mark.parametrize('stamp_s', [0.0, -3600.0, 99.997, 99.5, 3700.0, 1e9])
def test_a_single_wrong_stamp_counts_as_that_of_the_image_before(stamp_s):
    stream = after(99.95, 100.0)
    assert stream.advance(stamp_s) == 100.0
    assert (stream.is_late, stream.anew, stream.late) == (True, False, 1)
    assert stream.advance(100.05) == 100.05
    assert (stream.is_late, stream.anew, stream.late) == (False, False, 1)


def test_single_wrong_stamps_never_add_up():
    stream = after(100.0)
    for i in range(1, 20):
        assert stream.advance(5.0 + i) == stream.now_s
        assert stream.advance(100.0 + i) == 100.0 + i


def test_a_large_jump_back_that_lasts_begins_anew():
    stream = after(100.0)
    taken = [stream.advance(5.0 + i / 30) for i in range(LASTING)]
    assert taken == [100.0] * (LASTING - 1) + [5.0 + (LASTING - 1) / 30]
    assert stream.anew
    stream.advance(5.5)
    assert not stream.anew


def test_after_a_small_jump_back_time_catches_up():
    stream = after(100.0)
    for i in range(1, 30):
        assert stream.advance(99.5 + i / 60) == 100.0
    assert stream.advance(100.01) == 100.01
    assert not stream.anew


def test_a_long_gap_is_believed_once_it_lasts_and_nobody_starts_anew():
    stream = after(100.0)
    taken = [stream.advance(500.0 + i) for i in range(LASTING)]
    assert taken == [100.0] * (LASTING - 1) + [500.0 + LASTING - 1]
    assert not stream.anew


def test_short_gaps_and_streams_of_few_images_are_nothing_special():
    stream = after(100.0)
    assert stream.advance(109.0) == 109.0
    for i in range(10):
        stream.advance(200.0 + 60 * i)
    assert (stream.now_s, stream.late) == (740.0, LASTING - 1)


def test_images_of_another_camera_in_between_are_left_out_and_spoken_of():
    stream = StreamOrder()
    for i in range(20):
        assert stream.advance(i / 20, ONE) == i / 20
        assert stream.advance(i / 20, OTHER) is None
    assert (stream.foreign, stream.late) == (20, 0)
    assert 'two cameras on one topic' in stream.problem
    assert 'right (640x480) come between those of left (640x480)' in stream.problem
    for i in range(1000):
        stream.advance(1.0 + i / 20, ONE)
    assert stream.problem == ''


def test_a_camera_in_the_place_of_another_begins_anew():
    stream = StreamOrder()
    stream.advance(1.0, ONE)
    taken = [stream.advance(1.0 + i / 20, OTHER._replace(width=800)) for i in range(LASTING)]
    assert taken == [None] * (LASTING - 1) + [1.0 + (LASTING - 1) / 20]
    assert stream.anew
    assert stream.problem == ''


def test_stamps_that_never_advance_are_named_as_that():
    stream = after(*[0.0] * REPEATED)
    assert stream.problem == ''
    stream.advance(0.0)
    assert 'do not advance' in stream.problem
    stream.advance(0.1)
    assert stream.problem == ''


def test_stamps_that_stop_at_another_time_are_named_as_that():
    stream = after(100.0, *[0.0] * (REPEATED + 1))
    assert 'do not advance' in stream.problem


@pytest.mark.parametrize('stamp_s', [float('nan'), float('inf')])
def test_what_is_no_time_is_refused(stamp_s):
    with pytest.raises(ValueError, match='stamp_s: expected a finite number'):
        StreamOrder().advance(stamp_s)


def test_after_a_reset_any_image_is_the_first():
    stream = after(100.0, 5.0)
    stream.reset()
    assert stream.advance(5.0, ONE) == 5.0
    assert (stream.anew, stream.late) == (False, 1)
