# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import builtins
import math

import cv2
import numpy as np
import pytest

from aitable_ros.simulation import AstronautSequence


@pytest.fixture(scope='module')
def sequence() -> AstronautSequence:
    return AstronautSequence()


def test_it_is_a_20_s_vga_video_at_30_hz(sequence: AstronautSequence):
    assert len(sequence) == 600
    assert sequence.duration_s == 20
    assert sequence.stamp_s(0) == 0
    assert sequence.stamp_s(30) == 1
    frame = sequence.frame(0)
    assert frame.shape == (480, 640, 3)
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous


def test_a_frame_is_the_same_in_any_order_and_instance(sequence: AstronautSequence):
    indices = [0, 41, 190, 305, 375, 599]
    other = AstronautSequence()
    backwards = {i: other.frame(i) for i in reversed(indices)}
    for i in indices:
        assert np.array_equal(sequence.frame(i), backwards[i])


def test_a_frame_belongs_to_its_reader(sequence: AstronautSequence):
    frame = sequence.frame(375)
    kept = frame.copy()
    frame[:] = 0
    assert np.array_equal(sequence.frame(375), kept)


def test_frames_depend_on_time_only_not_on_the_rate(sequence: AstronautSequence):
    slow = AstronautSequence(fps=10)
    assert len(slow) == 200
    for i in (0, 61, 130):
        assert np.array_equal(slow.frame(i), sequence.frame(3 * i))


def test_it_repeats_after_20_s():
    longer = AstronautSequence(fps=5, duration_s=25)
    assert len(longer) == 125
    for i in (0, 7, 13):
        difference = cv2.absdiff(longer.frame(i), longer.frame(i + 100))
        assert difference.max() <= 1
    assert len(longer.closures) == 9 + 3


def test_the_face_moves_scales_and_tilts_within_the_frame(sequence: AstronautSequence):
    heads = [sequence.head(i) for i in range(len(sequence))]
    widths = [head.face_width_px for head in heads]
    rolls_deg = [math.degrees(head.roll_rad) for head in heads]
    assert min(widths) == pytest.approx(120, abs=1)
    assert max(widths) == pytest.approx(260, abs=1)
    assert min(rolls_deg) == pytest.approx(-20, abs=0.5)
    assert max(rolls_deg) == pytest.approx(20, abs=0.5)
    centers = np.array([head.center_px for head in heads])
    assert (np.ptp(centers, axis=0) > (150, 50)).all()
    assert np.abs(np.diff(centers, axis=0)).max() < 5  # px per frame: motion, no jumps
    # a face is 1.14 times as high as wide
    reach = 0.57 * np.array(widths)[:, None]
    assert (centers - reach).min() >= 0
    assert (centers + reach <= (640, 480)).all()


@pytest.mark.parametrize('index', [-1, 600])
def test_frames_beyond_the_ends_do_not_exist(sequence: AstronautSequence, index: int):
    for ask in (sequence.frame, sequence.stamp_s, sequence.head):
        with pytest.raises(IndexError, match='of a sequence of 600'):
            ask(index)


@pytest.mark.parametrize(
    'arguments',
    [
        {'width': 10},
        {'height': 100},
        {'fps': 0},
        {'fps': math.nan},
        {'duration_s': -1},
        {'duration_s': math.inf},
    ],
)
def test_impossible_sequences_are_refused(arguments: dict):
    with pytest.raises(ValueError, match=r'expected at least|must be positive'):
        AstronautSequence(**arguments)


def test_without_scikit_image_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    original = builtins.__import__

    def refuse(name: str, *args, **kwargs):
        if name.startswith('skimage'):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', refuse)
    with pytest.raises(ImportError, match='pip install scikit-image'):
        AstronautSequence()
