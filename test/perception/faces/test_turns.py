# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whose landmarks are measured where there is no time for all; no networks involved."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from aitable_ros.perception.faces.turns import Turns

SHAPE = (480, 640, 3)
FRAME_S = 1 / 30


def boxes(*faces):
    """Boxes by id of faces given as middle x, middle y, size."""
    return {
        f'f{i}': np.array((x - size / 2, y - size / 2, size, size), np.float32)
        for i, (x, y, size) in enumerate(faces, 1)
    }


def run(turns, faces, images, cost_ms=2.0):
    """Measure the chosen ones for a while; how often each had its turn."""
    count = Counter(dict.fromkeys(faces, 0))
    for i in range(images):
        chosen = turns.choose(faces, i * FRAME_S, SHAPE)
        turns.spent(sorted(chosen), i * FRAME_S, 1e-3 * cost_ms * len(chosen))
        count.update(chosen)
    return count


def turns_of(budget_ms):
    return Turns(budget_ms, lambda: 0.0)


def test_without_a_budget_or_within_it_all_are_measured():
    eight = boxes(*((70 * i + 40, 240, 60) for i in range(8)))
    assert set(run(turns_of(0.0), eight, 30).values()) == {30}
    assert set(run(turns_of(17.0), eight, 30).values()) == {30}


def test_an_image_costs_no_more_than_the_budget():
    turns, eight = turns_of(10.0), boxes(*((70 * i + 40, 240, 60) for i in range(8)))
    run(turns, eight, 30)
    assert turns.cost_ms == pytest.approx(2.0)
    assert len(turns.choose(eight, 1.0, SHAPE)) == 5


def test_one_is_measured_however_small_the_budget_and_everybody_comes_round():
    count = run(turns_of(0.1), boxes(*((70 * i + 40, 240, 60) for i in range(8))), 300)
    assert sum(count.values()) == pytest.approx(300, abs=8)
    assert min(count.values()) >= 300 / 8 / 2


def test_the_nearest_and_most_central_are_measured_most_often():
    count = run(turns_of(6.0), boxes((320, 240, 200), *((90 * i, 40, 40) for i in range(7))), 300)
    assert count['f1'] >= 290
    assert min(count.values()) >= 300 * 2 / 7 / 2
    central = run(turns_of(2.0), boxes((320, 240, 80), (40, 40, 80)), 300)
    assert central['f1'] > central['f2'] > 75


def test_new_faces_come_first():
    turns, two = turns_of(2.0), boxes((320, 240, 100), (500, 240, 100))
    run(turns, two, 10)
    three = {**two, 'f9': np.array((10, 10, 30, 30), np.float32)}
    assert turns.choose(three, 10 * FRAME_S, SHAPE) == {'f9'}


def test_who_left_is_forgotten():
    turns = turns_of(2.0)
    turns.spent(['f1', 'f2'], 0.0, 0.004)
    turns.keep(['f2'])
    assert list(turns.measured_s) == ['f2']
    assert not math.isnan(turns.cost_ms)


def test_time_that_something_else_needs_is_left_to_it():
    turns, eight = turns_of(10.5), boxes(*((70 * i + 40, 240, 60) for i in range(8)))
    run(turns, eight, 30)
    assert turns.places == 5
    turns.reserved_ms = 6.0
    assert turns.places == 2
    turns.reserved_ms = 100.0
    assert turns.places == 1


def test_those_who_meet_come_first():
    apart = boxes((100, 100, 80), (250, 100, 80), (400, 300, 80), (430, 300, 80))
    count = run(turns_of(4.0), apart, 300)
    assert min(count['f3'], count['f4']) > 1.5 * max(count['f1'], count['f2'])
    assert min(count.values()) >= 50
