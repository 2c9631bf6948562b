# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitable_ros.perception.emotion.expression import HAPPY, NEUTRAL, SAD, UNKNOWN, EmotionEstimate
from aitable_ros.perception.emotion.expression_smoothing import EmotionSmoother

FIVE_CLASSES = (0, 1, 2, 3, 4)


def certain(expression, valence=0.0, arousal=0.0, confidence=1.0, classes=tuple(range(8)), **kw):
    """An estimate that gives one expression 90 % and the rest evenly."""
    probabilities = np.full(8, np.nan)
    probabilities[list(classes)] = 0.1 / (len(classes) - 1)
    probabilities[expression] = 0.9
    return EmotionEstimate(
        expression, confidence, probabilities, valence, arousal, kw.pop('backend', 'test'), **kw
    )


def feed(smoother, estimate, start_s, end_s, step_s=0.05):
    """Repeat an estimate; gives the last output."""
    count = round((end_s - start_s) / step_s)
    return [smoother.update(start_s + i * step_s, estimate) for i in range(count + 1)][-1]


def same(a, b):
    assert (a.expression, a.backend, a.model) == (b.expression, b.backend, b.model)
    for name in ('confidence', 'probabilities', 'valence', 'arousal'):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-12)


def test_the_first_estimate_passes():
    smoother = EmotionSmoother(1.0)
    same(smoother.update(5.0, certain(HAPPY, 0.8, 0.4)), certain(HAPPY, 0.8, 0.4))


def test_a_step_is_done_to_63_percent_after_the_time_constant():
    smoother = EmotionSmoother(2.0)
    smoother.update(0.0, certain(NEUTRAL, 0.0, 0.0))
    result = feed(smoother, certain(HAPPY, 0.8, -0.4), 0.1, 2.0, 0.1)
    done = 1.0 - math.exp(-1.0)
    assert result.valence == pytest.approx(0.8 * done)
    assert result.arousal == pytest.approx(-0.4 * done)
    # what moves so far is the evidence, the logarithm of the odds
    odds = math.log(0.9 / (0.1 / 7))
    found = math.log(result.probabilities[HAPPY] / result.probabilities[NEUTRAL])
    assert found == pytest.approx((2 * done - 1) * odds)


def test_an_image_that_tells_much_counts_more_than_several_that_tell_little():
    smoother = EmotionSmoother(1.0)
    unsure = replace(certain(SAD), probabilities=np.array([0.12, 0.12, 0.16, *[0.12] * 5]))
    feed(smoother, unsure, 0.0, 2.0, 0.2)
    assert smoother.update(2.2, certain(HAPPY)).expression == HAPPY


def test_one_wrong_frame_does_not_change_the_label():
    smoother = EmotionSmoother(0.5)
    feed(smoother, certain(HAPPY), 0.0, 2.0)
    assert smoother.update(2.05, certain(SAD)).expression == HAPPY
    assert feed(smoother, certain(SAD), 2.1, 4.0).expression == SAD


def test_the_confidence_keeps_what_the_picture_is_worth():
    """A small, turned face has half of the confidence; smoothing does not give it back."""
    smoother = EmotionSmoother(0.5)
    result = feed(smoother, certain(HAPPY, confidence=0.45), 0.0, 3.0)
    assert result.confidence == pytest.approx(0.45)
    undecided = smoother.update(3.3, certain(SAD, confidence=0.45))
    assert undecided.confidence < 0.4
    assert undecided.confidence == pytest.approx(0.5 * undecided.probabilities.max())


def test_unknown_estimates_pass_and_leave_no_trace():
    with_gaps, without = EmotionSmoother(1.0), EmotionSmoother(1.0)
    for i in range(40):
        stamp_s = 0.1 * i
        if i % 3 == 1:
            result = with_gaps.update(stamp_s, EmotionEstimate.unknown('test'))
            assert result.expression == UNKNOWN
            assert np.isnan(result.probabilities).all()
        else:
            estimate = certain(HAPPY if i > 20 else NEUTRAL, 0.02 * i)
            same(with_gaps.update(stamp_s, estimate), without.update(stamp_s, estimate))


def test_a_number_that_is_not_measured_stays_unmeasured_and_leaves_no_trace():
    smoother = EmotionSmoother(1.0)
    smoother.update(0.0, certain(HAPPY, 0.5, 0.5, confidence=0.9))
    lacking = smoother.update(0.1, certain(HAPPY, math.nan, 0.5, confidence=math.nan))
    assert math.isnan(lacking.valence)
    assert math.isnan(lacking.confidence)
    assert lacking.arousal == pytest.approx(0.5)
    again = smoother.update(0.2, certain(HAPPY, 0.5, 0.5, confidence=0.9))
    assert again.valence == pytest.approx(0.5)
    assert again.confidence == pytest.approx(0.9)


def test_a_class_that_the_model_lacks_stays_nan():
    smoother = EmotionSmoother(1.0)
    feed(smoother, certain(NEUTRAL, classes=FIVE_CLASSES), 0.0, 1.0)
    result = feed(smoother, certain(SAD, classes=FIVE_CLASSES), 1.1, 1.5)
    assert np.isnan(result.probabilities[5:]).all()
    assert result.probabilities[:5].sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    'other',
    [
        certain(SAD, -0.5, backend='other'),
        certain(SAD, -0.5, model='b.onnx'),
        certain(SAD, -0.5, classes=FIVE_CLASSES),
    ],
    ids=['backend', 'model', 'classes'],
)
def test_another_model_starts_anew(other):
    smoother = EmotionSmoother(1.0)
    feed(smoother, certain(HAPPY, 0.8), 0.0, 1.0)
    same(smoother.update(1.05, other), other)


def test_a_long_gap_starts_anew_and_a_short_one_does_not():
    for gap_s, restarts in ((4.1, True), (3.9, False)):
        smoother = EmotionSmoother(1.0)
        feed(smoother, certain(HAPPY, 0.8), 0.0, 1.0)
        result = smoother.update(1.0 + gap_s, certain(SAD, -0.5))
        assert (result.valence == -0.5) == restarts


def test_unknown_estimates_do_not_bridge_a_long_gap():
    smoother = EmotionSmoother(1.0)
    feed(smoother, certain(HAPPY, 0.8), 0.0, 1.0)
    feed(smoother, EmotionEstimate.unknown('test'), 1.05, 6.0)
    assert smoother.update(6.05, certain(SAD, -0.5)).valence == -0.5


def test_time_going_backwards_starts_anew():
    smoother = EmotionSmoother(1.0)
    feed(smoother, certain(HAPPY, 0.8), 10.0, 12.0)
    same(smoother.update(3.0, certain(SAD, -0.5)), certain(SAD, -0.5))


def test_an_equal_stamp_changes_nothing():
    smoother, reference = EmotionSmoother(1.0), EmotionSmoother(1.0)
    for i in range(5):
        expected = reference.update(0.1 * i, certain(HAPPY, 0.8))
        smoother.update(0.1 * i, certain(HAPPY, 0.8))
        assert smoother.update(0.1 * i, certain(SAD, -0.5)).valence == expected.valence
    same(smoother.update(0.6, certain(SAD)), reference.update(0.6, certain(SAD)))


def test_zero_is_off():
    smoother = EmotionSmoother(0.0)
    for i, estimate in enumerate((certain(HAPPY), EmotionEstimate.unknown('test'), certain(SAD))):
        assert smoother.update(0.1 * i, estimate) is estimate


@pytest.mark.parametrize('stamp_s', [math.nan, math.inf])
@pytest.mark.parametrize('time_constant_s', [0.0, 1.0])
def test_a_stamp_that_is_none_is_refused(stamp_s, time_constant_s):
    with pytest.raises(ValueError, match='stamp_s'):
        EmotionSmoother(time_constant_s).update(stamp_s, certain(HAPPY))


@st.composite
def estimates(draw):
    if draw(st.integers(0, 9)) == 0:
        return EmotionEstimate.unknown('test')
    classes = draw(st.sampled_from([5, 8]))
    weights = np.array(draw(st.lists(st.floats(0.0, 1.0), min_size=classes, max_size=classes)))
    weights[draw(st.integers(0, classes - 1))] += 1.0
    probabilities = np.full(8, np.nan)
    # Rounded as a message in single precision would have it.
    probabilities[:classes] = (weights / weights.sum()).astype(np.float32)
    signed = st.one_of(st.just(math.nan), st.floats(-1.0, 1.0))
    return EmotionEstimate(
        expression=draw(st.integers(0, classes - 1)),
        confidence=draw(st.one_of(st.just(math.nan), st.floats(0.0, 1.0))),
        probabilities=probabilities,
        valence=draw(signed),
        arousal=draw(signed),
        backend='test',
    )


@given(
    time_constant_s=st.floats(0.001, 100.0),
    steps=st.lists(
        st.tuples(
            st.one_of(st.just(0.0), st.floats(0.0, 0.5), st.floats(-5.0, 500.0)), estimates()
        ),
        max_size=25,
    ),
)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_whatever_comes_the_output_is_in_range(time_constant_s, steps):
    smoother = EmotionSmoother(time_constant_s)
    stamp_s = 1000.0
    for step_s, estimate in steps:
        stamp_s += step_s
        result = smoother.update(stamp_s, estimate)  # its type checks all ranges
        assert (result.expression == UNKNOWN) == (estimate.expression == UNKNOWN)
        if result.expression != UNKNOWN:
            assert np.nansum(result.probabilities) == pytest.approx(1.0, abs=1e-9)
            assert result.expression == np.nanargmax(result.probabilities)


@given(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=30))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_output_stays_between_the_lowest_and_the_highest_input(valences):
    smoother = EmotionSmoother(0.3)
    for i, valence in enumerate(valences):
        result = smoother.update(0.1 * i, certain(HAPPY, valence))
        seen = valences[: i + 1]
        assert min(seen) - 1e-12 <= result.valence <= max(seen) + 1e-12
