# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitable_ros.analysis.expression import HAPPY, NEUTRAL, SAD, UNKNOWN
from aitable_ros.visualization.circumplex import (
    AROUSAL_COLOUR,
    EXPRESSION_COLOURS,
    VALENCE_COLOUR,
    EmotionTrack,
    draw_track,
    write_track,
)

# Where the panels lie in the picture: rows and columns.
CIRCUMPLEX = (slice(132, 692), slice(92, 652))
PROBABILITIES = (slice(801, 949), slice(93, 1171))
SIGNALS = (slice(1002, 1158), slice(94, 1170))


def track(codes, *, valence=0.0, arousal=0.0, interval_s=0.1, positions=None, is_time=True):
    codes = np.array(codes)
    probabilities = np.zeros((len(codes), 8))
    for row, code in enumerate(codes):
        probabilities[row, 0 if code == UNKNOWN else code] = 1.0
    probabilities[codes == UNKNOWN] = math.nan
    signals = [np.broadcast_to(v, codes.shape).astype(float) for v in (valence, arousal)]
    for signal in signals:
        signal[codes == UNKNOWN] = math.nan
    if positions is None:
        positions = np.arange(len(codes)) * interval_s
    return EmotionTrack('v.mp4   face f1', positions, codes, probabilities, *signals, is_time)


def coloured(image, colour, tolerance=6):
    """(N, 2) x, y of the pixels of a colour."""
    return np.argwhere(np.abs(image.astype(int) - colour).max(axis=2) <= tolerance)[:, ::-1]


def saturated(image):
    """(N, 2) x, y of the pixels that are neither grey nor paper."""
    values = image.astype(int)
    return np.argwhere(values.max(axis=2) - values.min(axis=2) > 60)[:, ::-1]


def test_the_picture_has_its_size_and_is_mostly_paper():
    image = draw_track(track([HAPPY] * 50))
    assert image.shape == (1240, 1200, 3)
    assert image.dtype == np.uint8
    assert (image > 240).all(axis=2).mean() > 0.7


@pytest.mark.parametrize(('valence', 'arousal'), [(0.7, 0.5), (-0.6, 0.4), (-0.5, -0.7), (1, -1)])
def test_valence_is_to_the_right_and_arousal_upwards(valence, arousal):
    panel = draw_track(track([NEUTRAL] * 30, valence=valence, arousal=arousal))[CIRCUMPLEX]
    x, y = saturated(panel).mean(axis=0)
    assert x == pytest.approx(280 + 266 * valence, abs=3)
    assert y == pytest.approx(280 - 266 * arousal, abs=3)


def test_the_path_is_coloured_by_time():
    steps = np.linspace(-0.8, 0.8, 200)
    image = draw_track(track([NEUTRAL] * 200, valence=steps))
    line = image[CIRCUMPLEX][280 - 1 : 280 + 2].mean(axis=0)
    start, middle, end = line[110], line[281 - 40], line[450]
    assert start[2] > 1.3 * start[1]  # violet
    assert middle[1] > 1.3 * middle[0]  # blue green
    assert end[1] > 1.3 * end[2]  # yellow green


def test_the_timeline_shows_each_expression_in_its_time():
    panel = draw_track(track([HAPPY] * 50 + [SAD] * 50))[PROBABILITIES]
    half = panel.shape[1] // 2
    happy = coloured(panel, EXPRESSION_COLOURS[HAPPY])
    sad = coloured(panel, EXPRESSION_COLOURS[SAD])
    assert happy[:, 0].max() <= half + 1
    assert sad[:, 0].min() >= half - 1
    assert len(happy) == pytest.approx(panel.shape[0] * half, rel=0.02)
    assert len(sad) == pytest.approx(panel.shape[0] * half, rel=0.02)


def test_the_heights_are_the_probabilities():
    mixed = track([NEUTRAL] * 20)
    probabilities = np.zeros((20, 8))
    probabilities[:, [NEUTRAL, HAPPY, SAD]] = (0.5, 0.3, 0.2)
    panel = draw_track(dataclasses.replace(mixed, probabilities=probabilities))[PROBABILITIES]
    for code, share in ((NEUTRAL, 0.5), (HAPPY, 0.3), (SAD, 0.2)):
        seen = len(coloured(panel, EXPRESSION_COLOURS[code])) / panel[..., 0].size
        assert seen == pytest.approx(share, abs=0.02)


def test_valence_and_arousal_are_drawn_at_their_height():
    panel = draw_track(track([NEUTRAL] * 30, valence=0.5, arousal=-0.5))[SIGNALS]
    valence, arousal = coloured(panel, VALENCE_COLOUR, 40), coloured(panel, AROUSAL_COLOUR, 40)
    assert valence[:, 1].mean() == pytest.approx(78 - 40, abs=2)
    assert arousal[:, 1].mean() == pytest.approx(78 + 40, abs=2)
    assert np.ptp(valence[:, 0]) > 0.9 * panel.shape[1]


def test_what_was_not_measured_is_left_out():
    codes = [HAPPY] * 40 + [UNKNOWN] * 40 + [HAPPY] * 40
    image = draw_track(track(codes, valence=0.5))
    for panel, colour in ((PROBABILITIES, EXPRESSION_COLOURS[HAPPY]), (SIGNALS, VALENCE_COLOUR)):
        columns = coloured(image[panel], colour, 40)[:, 0]
        assert not ((columns > 380) & (columns < 700)).any()
        assert (columns < 340).any()
        assert (columns > 740).any()


def test_a_pause_is_left_out():
    stamps_s = np.concatenate([np.arange(40) * 0.1, 8.0 + np.arange(40) * 0.1])
    image = draw_track(track([HAPPY] * 80, valence=0.5, positions=stamps_s))
    for panel, colour in ((PROBABILITIES, EXPRESSION_COLOURS[HAPPY]), (SIGNALS, VALENCE_COLOUR)):
        columns = coloured(image[panel], colour, 40)[:, 0]
        assert not ((columns > 420) & (columns < 690)).any()


def test_pictures_are_dots_in_the_colours_of_their_expressions():
    image = draw_track(track([HAPPY, SAD], valence=[0.8, -0.6], positions=[1, 2], is_time=False))
    for code, valence in ((HAPPY, 0.8), (SAD, -0.6)):
        x, y = coloured(image[CIRCUMPLEX], EXPRESSION_COLOURS[code]).mean(axis=0)
        assert (x, y) == pytest.approx((280 + 266 * valence, 280), abs=2)
    between = coloured(image[SIGNALS], VALENCE_COLOUR, 40)[:, 0]
    assert not ((between > 300) & (between < 780)).any(), 'no line joins strangers'


def test_nobody_measured_is_said():
    image = draw_track(track([UNKNOWN] * 5))
    assert saturated(image[CIRCUMPLEX]).size == 0
    dark = (image[CIRCUMPLEX][240:280] < 140).all(axis=2)
    assert dark.any()


def test_shares_and_means():
    codes = [HAPPY, HAPPY, HAPPY, SAD, UNKNOWN]
    result = track(codes, valence=[0.5, 0.5, 0.5, -0.5, 0.0])
    assert result.shares() == pytest.approx({'happy': 0.6, 'sad': 0.2, 'unknown': 0.2})
    assert next(iter(result.shares())) == 'happy'
    assert result.mean_valence == pytest.approx(0.25)
    assert math.isnan(track([UNKNOWN]).mean_valence)


@given(
    codes=st.lists(st.sampled_from([*range(8), UNKNOWN]), min_size=1, max_size=12),
    interval_s=st.sampled_from([0.0, 1e-6, 0.04, 3600.0, 1e7]),
    start_s=st.sampled_from([0.0, -5.0, 1.7e9]),
    is_time=st.booleans(),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_anything_can_be_drawn(codes, interval_s, start_s, is_time):
    positions = start_s + np.arange(len(codes)) * interval_s
    image = draw_track(
        track(codes, valence=1.0, arousal=-1.0, positions=positions, is_time=is_time)
    )
    assert image.shape == (1240, 1200, 3)


def test_a_long_title_stays_in_the_picture():
    long = dataclasses.replace(track([HAPPY] * 3), title='päth/' * 80 + 'video.mp4   face f1')
    image = draw_track(long)
    assert (image[:, 1185:] == 255).all()


def test_it_is_written_as_png(tmp_path):
    shown = track([HAPPY] * 10)
    write_track(tmp_path / 'a.png', shown)
    data = (tmp_path / 'a.png').read_bytes()
    assert data.startswith(b'\x89PNG')
    read = cv2.cvtColor(cv2.imread(str(tmp_path / 'a.png')), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(read, draw_track(shown))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'valence': np.zeros(4)}, 'valence'),
        ({'probabilities': np.zeros((3, 7))}, 'probabilities'),
        ({'positions': [0.0, 2.0, 1.0]}, 'positions'),
        ({'positions': [0.0, math.nan, 1.0]}, 'positions'),
        ({'expressions': [0, 1, 9]}, 'expression'),
    ],
)
def test_tracks_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(track([HAPPY] * 3), **changes)


def test_a_track_needs_a_sample():
    with pytest.raises(ValueError, match='at least one'):
        track([])
