# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.perception.emotion.expression import (
    ANGER,
    CONTEMPT,
    DISGUST,
    EXPRESSIONS,
    FEAR,
    HAPPY,
    NEUTRAL,
    SAD,
    SURPRISE,
    UNCERTAIN,
    UNKNOWN,
    EmotionEstimate,
    expression_name,
)

EVEN = np.full(8, 0.125)


def estimate(**changes) -> EmotionEstimate:
    values = {
        'expression': HAPPY,
        'confidence': 0.5,
        'probabilities': EVEN,
        'valence': 0.1,
        'arousal': -0.1,
        'backend': 'test',
    }
    return EmotionEstimate(**{**values, **changes})


def test_names_stand_in_emonets_order():
    indices = (NEUTRAL, HAPPY, SAD, SURPRISE, FEAR, DISGUST, ANGER, CONTEMPT)
    assert indices == tuple(range(8))
    assert [expression_name(i) for i in indices] == list(EXPRESSIONS)
    assert EXPRESSIONS[HAPPY] == 'happy'
    assert expression_name(UNCERTAIN) == 'uncertain'
    assert expression_name(UNKNOWN) == 'unknown'


@pytest.mark.parametrize('number', [-1, 8, 253, 256])
def test_other_numbers_are_no_expressions(number):
    with pytest.raises(ValueError, match=str(number)):
        expression_name(number)


def test_unknown_is_nan_throughout():
    unknown = EmotionEstimate.unknown('geometry', 'none')
    assert (unknown.expression, unknown.label) == (UNKNOWN, 'unknown')
    assert math.isnan(unknown.confidence)
    assert math.isnan(unknown.valence)
    assert math.isnan(unknown.arousal)
    assert unknown.probabilities.shape == (8,)
    assert np.isnan(unknown.probabilities).all()
    assert (unknown.backend, unknown.model) == ('geometry', 'none')


def test_a_class_that_the_model_lacks_is_nan():
    probabilities = np.array([0.2, 0.5, 0.1, 0.1, np.nan, np.nan, 0.1, np.nan])
    assert estimate(probabilities=probabilities).label == 'happy'
    with pytest.raises(ValueError, match='fear has no probability'):
        estimate(expression=FEAR, probabilities=probabilities)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'expression': 9}, 'expression must be'),
        ({'probabilities': np.full(7, 1 / 7)}, r'shape \(8,\), got \(7,\)'),
        ({'probabilities': EVEN * 2}, 'sum to 1'),
        ({'probabilities': np.array([1.5, -0.5, 0, 0, 0, 0, 0, 0])}, r'lie in 0\.\.1'),
        ({'confidence': -0.1}, r'confidence must lie in 0\.\.1'),
        ({'confidence': 1.1}, 'confidence'),
        ({'valence': -1.1}, r'valence must lie in -1\.\.1'),
        ({'arousal': math.inf}, 'arousal'),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        estimate(**changes)
