# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
People are made from a neutral mesh: a resting face moves its points for good, an expression too.

Each frame has noise of about what FaceMesh's landmarks show on a still face.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from posed_faces import NEUTRAL_SHAPE, shift, to_image

from aitable_ros.perception.emotion.expression import HAPPY, NEUTRAL
from aitable_ros.perception.emotion.expression_geometry import GeometryExpression
from aitable_ros.perception.emotion.face_measures import (
    POPULATION_NEUTRAL,
    NeutralFace,
    frontalise,
)
from aitable_ros.perception.emotion.neutral_face import NeutralFaceLearner

GEOMETRY = GeometryExpression()
FPS = 4.0
NOISE = 0.002  # eye spans


# Zygomaticus major with orbicularis oculi: AU12 + AU6.
SMILE = shift((61, 291), (0.08, 0.07, -0.07), 0.08) + shift((118, 347), (0, 0.04, 0), 0.1)
# Triangularis and corrugator: AU15 + AU4.
FROWN = shift((61, 291), (0, -0.07, 0), 0.06) + shift((107, 336), (-0.03, -0.06, 0), 0.12)
OPEN_MOUTH = shift((14, 17, 152), (0, -0.25, 0), 0.1)
SHUT_EYES = shift((159, 386), (0, -0.09, 0), 0.05) + shift((145, 374), (0, 0.03, 0), 0.05)

RESTING = {'a smile': 0.6 * SMILE, 'a frown': 0.6 * FROWN, 'nothing': 0.0 * SMILE}


def seen(offset, rng=None, **placement):
    shape = NEUTRAL_SHAPE + offset
    if rng is not None:
        shape = shape + rng.normal(0.0, NOISE, shape.shape)
    return frontalise(to_image(shape, **placement))


class Person:
    """Somebody who is watched from time 0 on."""

    def __init__(self, resting=0.0, seed=0):
        self.learner = NeutralFaceLearner()
        self.resting = resting
        self.rng = np.random.default_rng(seed)
        self.stamp_s = 0.0

    def watch(self, duration_s, expression=0.0, **placement):
        for _ in range(round(duration_s * FPS)):
            self.stamp_s += 1.0 / FPS
            landmarks = seen(self.resting + expression, self.rng, **placement)
            self.learner.update_face(self.stamp_s, landmarks)
        return self

    def read(self, expression=0.0):
        """The estimate for this expression against what was learned."""
        return GEOMETRY.estimate_face(seen(self.resting + expression), self.learner.neutral)


def distance(a: NeutralFace, b: NeutralFace) -> float:
    """Largest difference of the bands' edges, in widths of the population's."""
    return max(
        max(abs(p.low - q.low), abs(p.high - q.high)) / (population.high - population.low)
        for p, q, population in (
            (getattr(a, f.name), getattr(b, f.name), getattr(POPULATION_NEUTRAL, f.name))
            for f in dataclasses.fields(NeutralFace)
        )
    )


def test_before_anything_is_seen_the_population_is_given():
    learner = NeutralFaceLearner()
    assert learner.neutral is POPULATION_NEUTRAL
    assert (learner.trust, learner.evidence_s) == (0.0, 0.0)


@pytest.mark.parametrize('resting', ['a smile', 'a frown'])
def test_a_resting_face_of_ones_own_is_neutral_after_calibration(resting):
    person = Person(RESTING[resting])
    before = person.read()
    assert before.expression != NEUTRAL
    person.watch(240.0)
    assert person.learner.trust == 1.0
    after = person.read()
    assert after.expression == NEUTRAL
    assert abs(after.valence) < 0.15


@pytest.mark.parametrize('resting', RESTING)
def test_a_smile_is_still_happy_after_calibration(resting):
    person = Person(RESTING[resting]).watch(240.0)
    result = person.read(0.8 * SMILE)
    assert result.expression == HAPPY
    assert result.valence > 0.5


@pytest.mark.parametrize('strength', [0.6, 0.7, 0.8, 1.0])
def test_a_smile_of_20_seconds_at_the_start_does_not_become_neutral(strength):
    smiling = Person().watch(20.0, strength * SMILE)
    assert smiling.learner.trust == 0.0
    assert smiling.read(strength * SMILE).valence == Person().read(strength * SMILE).valence
    for _ in range(8):
        smiling.watch(10.0)
        assert smiling.read().expression == NEUTRAL
        assert smiling.read(0.8 * SMILE).expression == HAPPY
    serious = Person(seed=1).watch(100.0)
    assert smiling.learner.trust == 1.0
    assert distance(smiling.learner.neutral, serious.learner.neutral) < 0.25


def test_a_broad_smile_is_never_learned_however_long():
    person = Person().watch(300.0, SMILE)
    assert person.learner.evidence_s == 0.0
    assert person.read(SMILE).expression == HAPPY


def test_a_person_who_smiles_now_and_then_keeps_their_neutral_face():
    person = Person()
    for _ in range(10):
        person.watch(14.0).watch(6.0, 0.6 * SMILE)
    serious = Person(seed=1).watch(200.0)
    assert distance(person.learner.neutral, serious.learner.neutral) < 0.3
    assert person.read(0.6 * SMILE).expression == HAPPY


def test_a_person_who_frowns_at_rest_is_not_drawn_to_slight_smiles():
    person = Person(RESTING['a frown']).watch(240.0)
    before = person.learner.neutral
    for _ in range(15):
        person.watch(14.0).watch(6.0, 0.5 * SMILE)
    assert distance(person.learner.neutral, before) < 0.3
    assert person.read().expression == NEUTRAL


def test_a_wrong_neutral_face_is_unlearned():
    """Somebody held a slight smile for two minutes: the rest that follows puts it right."""
    person = Person().watch(120.0, 0.55 * SMILE).watch(500.0)
    serious = Person(seed=1).watch(200.0)
    assert distance(person.learner.neutral, serious.learner.neutral) < 0.3


def test_nothing_changes_until_there_is_enough_evidence_and_then_slowly():
    person = Person()
    trust = []
    for _ in range(80):
        before = person.learner.neutral
        person.watch(1.0)
        trust.append(person.learner.trust)
        if person.learner.evidence_s <= 15.0:
            assert person.learner.neutral is POPULATION_NEUTRAL
        assert distance(person.learner.neutral, before) < 0.06
    assert trust == sorted(trust)
    assert trust[12] == 0.0
    assert 0.2 < trust[34] < 0.5
    assert trust[-1] == 1.0


@pytest.mark.parametrize(
    'watched',
    [
        {'expression': OPEN_MOUTH},
        {'expression': SHUT_EYES},
        {'yaw': 0.5},
        {'eye_span_px': 20.0},
    ],
    ids=['open mouth', 'shut eyes', 'turned', 'small'],
)
def test_frames_that_say_nothing_about_rest_do_not_count(watched):
    assert Person().watch(30.0, **watched).learner.evidence_s == 0.0


def test_a_frame_stands_for_its_time_at_any_frame_rate():
    rates = []
    for fps in (2.5, 10.0, 30.0):
        learner = NeutralFaceLearner()
        for i in range(round(20.0 * fps) + 1):
            learner.update_face(i / fps, seen(0.0))
        rates.append(learner.evidence_s)
    assert rates == pytest.approx([20.0] * 3, rel=0.02)


def test_a_gap_is_no_evidence():
    learner = NeutralFaceLearner()
    for i in range(10):
        learner.update_face(60.0 * i, seen(0.0))
    assert learner.evidence_s <= 9 * 0.5


def test_what_is_not_measured_leaves_no_trace():
    person = Person().watch(100.0)
    before = person.learner.neutral
    for _ in range(20):
        person.stamp_s += 1.0 / FPS
        person.learner.update_face(person.stamp_s, None)
    assert person.learner.neutral is before
    person.watch(10.0)
    assert all(
        math.isfinite(getattr(person.learner.neutral, f.name).low)
        for f in dataclasses.fields(NeutralFace)
    )


def test_an_equal_stamp_changes_nothing():
    person = Person().watch(30.0)
    before = (person.learner.evidence_s, person.learner.neutral)
    person.learner.update_face(person.stamp_s, seen(0.6 * SMILE))
    assert (person.learner.evidence_s, person.learner.neutral) == before


def test_time_going_backwards_forgets():
    person = Person(RESTING['a smile']).watch(240.0)
    person.learner.update_face(1.0, seen(0.0))
    assert person.learner.neutral is POPULATION_NEUTRAL
    assert person.learner.evidence_s == 0.0
    person.stamp_s = 1.0
    assert person.watch(5.0).learner.evidence_s > 0.0


@pytest.mark.parametrize('stamp_s', [math.nan, math.inf])
def test_a_stamp_that_is_none_is_refused(stamp_s):
    with pytest.raises(ValueError, match='stamp_s'):
        NeutralFaceLearner().update_face(stamp_s, seen(0.0))
