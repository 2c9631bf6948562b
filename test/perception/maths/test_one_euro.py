# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The 1-Euro filter smooths at rest and follows fast motion, in header time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.one_euro import (
    OneEuroSettings,
    QuaternionOneEuroFilter,
    VectorOneEuroFilter,
)


class Angle:
    """The rotation filter as a filter of one angle about a slanted axis."""

    AXIS = np.array((0.6, 0.0, 0.8))

    def __init__(self, settings=None):
        self.filter = QuaternionOneEuroFilter(settings)

    def update(self, stamp_s, value):
        vector = self.AXIS * value
        out = self.filter.update(
            stamp_s,
            (math.nan,) * 4 if math.isnan(value) else rotation.from_rotation_vector(vector),
        )
        if math.isnan(out[0]):
            return math.nan
        return float(self.AXIS @ rotation.to_rotation_vector(out))


class Component:
    """The vector filter as a filter of one of its components."""

    def __init__(self, settings=None):
        self.filter = VectorOneEuroFilter(settings)

    def update(self, stamp_s, value):
        first, second, third = self.filter.update(stamp_s, (0.0, value, 0.0))
        assert math.isnan(value) or (first == 0.0 and third == 0.0)
        return second


FILTERS = [Component, Angle]
each_filter = pytest.mark.parametrize('make', FILTERS)


def paper(stamps_s, values, min_cutoff, beta, derivative_cutoff):
    """Casiez et al. 2012, as their reference implementation computes it."""

    def alpha(cutoff, rate):
        return 1.0 / (1.0 + rate / (2 * math.pi * cutoff))

    filtered, speed = values[0], 0.0
    out = [filtered]
    for i in range(1, len(values)):
        rate = 1.0 / (stamps_s[i] - stamps_s[i - 1])
        a = alpha(derivative_cutoff, rate)
        speed = a * (values[i] - values[i - 1]) * rate + (1 - a) * speed
        a = alpha(min_cutoff + beta * abs(speed), rate)
        filtered = a * values[i] + (1 - a) * filtered
        out.append(filtered)
    return out


@each_filter
def test_it_computes_what_the_paper_says_at_irregular_stamps(make):
    random = np.random.default_rng(7)
    stamps_s = np.cumsum(random.uniform(0.01, 0.2, 200)).tolist()
    values = (np.sin(stamps_s) + random.normal(0, 0.05, 200)).tolist()
    one = make(OneEuroSettings(0.8, 1.7, 1.3))
    out = [one.update(t, v) for t, v in zip(stamps_s, values)]
    np.testing.assert_allclose(out, paper(stamps_s, values, 0.8, 1.7, 1.3), atol=1e-9)


@each_filter
def test_the_first_value_is_taken_as_it_is(make):
    assert make().update(5.0, 0.7) == pytest.approx(0.7)


@each_filter
def test_an_equal_stamp_gives_the_last_output_and_leaves_no_trace(make):
    one, other = make(), make()
    for i in range(10):
        expected = other.update(i / 30, 0.1 * i)
        assert one.update(i / 30, 0.1 * i) == expected
        assert one.update(i / 30, -2.0) == expected


@each_filter
def test_going_back_in_time_starts_anew(make):
    one = make(OneEuroSettings(0.1))
    for i in range(30):
        one.update(100 + i / 30, 1.0)
    assert one.update(3.0, -1.0) == pytest.approx(-1.0)
    fresh = make(OneEuroSettings(0.1))
    fresh.update(3.0, -1.0)
    assert one.update(3.1, 0.5) == pytest.approx(fresh.update(3.1, 0.5))


@each_filter
def test_nan_passes_through_and_leaves_no_trace(make):
    one, other = make(), make()
    for i in range(60):
        value = math.sin(i / 10)
        if i % 7 == 3:
            assert math.isnan(one.update(i / 30, math.nan))
        else:
            assert one.update(i / 30, value) == other.update(i / 30, value)


@each_filter
def test_the_first_value_may_be_nan(make):
    one = make()
    assert math.isnan(one.update(0.0, math.nan))
    assert one.update(0.1, 0.4) == pytest.approx(0.4)


@each_filter
@pytest.mark.parametrize('stamp_s', [math.nan, math.inf])
def test_a_stamp_must_be_a_time(make, stamp_s):
    with pytest.raises(ValueError, match='stamp_s'):
        make().update(stamp_s, 0.0)


@given(
    st.lists(st.tuples(st.floats(1e-6, 10.0), st.floats(-1e3, 1e3)), min_size=1, max_size=30),
    st.floats(0.01, 30.0),
    st.floats(0.0, 30.0),
)
def test_the_output_stays_within_the_inputs(steps, min_cutoff, beta):
    one = Component(OneEuroSettings(min_cutoff, beta))
    stamp_s, seen = 0.0, []
    for interval_s, value in steps:
        stamp_s += interval_s
        seen.append(value)
        out = one.update(stamp_s, value)
        assert min(seen) - 1e-9 <= out <= max(seen) + 1e-9


def test_a_vector_moves_on_a_straight_line():
    one = VectorOneEuroFilter(OneEuroSettings(1.0, 0.5))
    for i in range(40):
        x, y = one.update(i / 30, (0.01 * i**2, -0.03 * i**2))
        assert y == pytest.approx(-3 * x)


def test_a_vector_keeps_its_length():
    one = VectorOneEuroFilter()
    one.update(0.0, (1.0, 2.0))
    with pytest.raises(ValueError, match='expected 2 components, got 3'):
        one.update(0.1, (1.0, 2.0, 3.0))


def test_a_rotation_through_half_a_turn_does_not_jump():
    one = QuaternionOneEuroFilter(OneEuroSettings(2.0, 1.0))
    last = None
    for i in range(120):
        q = rotation.from_rotation_vector((0.0, 0.0, 0.1 * i))
        if i % 2:
            q = tuple(-v for v in q)
        out = one.update(i / 30, q)
        assert math.hypot(*out) == pytest.approx(1.0)
        if last is not None:
            turned = rotation.product(rotation.inverse(last), out)
            assert math.hypot(*rotation.to_rotation_vector(turned)) < 0.15
        last = out
