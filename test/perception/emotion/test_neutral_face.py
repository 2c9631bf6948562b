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
from aitable_ros.perception.emotion.neutral_face import (
    NeutralFaceLearner,
    NeutralFaceSettings,
    NeutralState,
)

GEOMETRY = GeometryExpression()
FPS = 4.0
NOISE = 0.002  # eye spans


# Zygomaticus major with orbicularis oculi: AU12 + AU6.
SMILE = shift((61, 291), (0.08, 0.07, -0.07), 0.08) + shift((118, 347), (0, 0.04, 0), 0.1)
# Triangularis and corrugator: AU15 + AU4.
FROWN = shift((61, 291), (0, -0.07, 0), 0.06) + shift((107, 336), (-0.03, -0.06, 0), 0.12)
OPEN_MOUTH = shift((14, 17, 152), (0, -0.25, 0), 0.1)
SHUT_EYES = shift((159, 386), (0, -0.09, 0), 0.05) + shift((145, 374), (0, 0.03, 0), 0.05)

RESTING = {'a smile': 0.6 * SMILE, 'a frown': 0.4 * FROWN, 'nothing': 0.0 * SMILE}


def seen(offset, rng=None, **placement):
    shape = NEUTRAL_SHAPE + offset
    if rng is not None:
        shape = shape + rng.normal(0.0, NOISE, shape.shape)
    return to_image(shape, **placement)


class Person:
    """Somebody who is watched from time 0 on."""

    def __init__(self, resting=0.0, seed=0, **settings):
        self.learner = NeutralFaceLearner(NeutralFaceSettings(**settings))
        self.resting = resting
        self.rng = np.random.default_rng(seed)
        self.stamp_s = 0.0

    def watch(self, duration_s, expression=0.0, **placement):
        for _ in range(round(duration_s * FPS)):
            self.stamp_s += 1.0 / FPS
            landmarks = seen(self.resting + expression, self.rng, **placement)
            self.learner.update(self.stamp_s, landmarks)
        return self

    def read(self, expression=0.0):
        """The estimate for this expression against what was learned."""
        return GEOMETRY.estimate(seen(self.resting + expression), self.learner.neutral)


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
    assert learner.state is NeutralState.CALIBRATING
    assert (learner.trust, learner.evidence_s) == (0.0, 0.0)


@pytest.mark.parametrize('resting', ['a smile', 'a frown'])
def test_a_resting_face_of_ones_own_is_neutral_after_calibration(resting):
    person = Person(RESTING[resting])
    before = person.read()
    assert before.expression != NEUTRAL
    person.watch(240.0)
    assert person.learner.state is NeutralState.CALIBRATED
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


@pytest.mark.parametrize('strength', [0.5, 0.6, 0.8, 1.0])
def test_a_smile_of_20_seconds_at_the_start_does_not_become_neutral(strength):
    smiling = Person().watch(20.0, strength * SMILE)
    assert smiling.learner.state is NeutralState.CALIBRATING
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
    person = Person(min_evidence_s=15.0, full_evidence_s=60.0)
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
            learner.update(i / fps, seen(0.0))
        rates.append(learner.evidence_s)
    assert rates == pytest.approx([20.0] * 3, rel=0.02)


def test_a_gap_is_no_evidence():
    learner = NeutralFaceLearner()
    for i in range(10):
        learner.update(60.0 * i, seen(0.0))
    assert learner.evidence_s <= 9 * learner.settings.max_gap_s


def test_what_is_not_measured_leaves_no_trace():
    person = Person().watch(100.0)
    before = person.learner.neutral
    bad = seen(0.0)
    bad[200] = math.nan
    for landmarks in (None, bad, np.zeros((468, 3)), np.full((468, 3), np.inf)):
        for _ in range(20):
            person.stamp_s += 1.0 / FPS
            person.learner.update(person.stamp_s, landmarks)
    assert person.learner.neutral is before
    person.watch(10.0)
    assert all(
        math.isfinite(getattr(person.learner.neutral, f.name).low)
        for f in dataclasses.fields(NeutralFace)
    )


def test_an_equal_stamp_changes_nothing():
    person = Person().watch(30.0)
    before = (person.learner.evidence_s, person.learner.neutral)
    person.learner.update(person.stamp_s, seen(0.6 * SMILE))
    assert (person.learner.evidence_s, person.learner.neutral) == before


def test_time_going_backwards_forgets():
    person = Person(RESTING['a smile']).watch(240.0)
    person.learner.update(1.0, seen(0.0))
    assert person.learner.neutral is POPULATION_NEUTRAL
    assert person.learner.evidence_s == 0.0
    person.stamp_s = 1.0
    assert person.watch(5.0).learner.evidence_s > 0.0


def test_the_way_from_the_population_is_limited():
    person = Person(RESTING['a smile'], max_offset=0.2).watch(240.0)
    for f in dataclasses.fields(NeutralFace):
        own, population = (
            getattr(n, f.name) for n in (person.learner.neutral, POPULATION_NEUTRAL)
        )
        shift = 0.5 * abs(own.low + own.high - population.low - population.high)
        assert shift <= 0.2 * (population.high - population.low) + 1e-9


@pytest.mark.parametrize('stamp_s', [math.nan, math.inf])
def test_a_stamp_that_is_none_is_refused(stamp_s):
    with pytest.raises(ValueError, match='stamp_s'):
        NeutralFaceLearner().update(stamp_s, seen(0.0))


def test_a_face_that_was_turned_to_the_front_teaches_the_same():
    one, other = NeutralFaceLearner(), NeutralFaceLearner()
    rng = np.random.default_rng(3)
    for i in range(300):
        landmarks = seen(RESTING['a frown'], rng, yaw=0.1)
        one.update(i / FPS, landmarks)
        other.update_face(i / FPS, frontalise(landmarks))
    assert one.evidence_s == other.evidence_s > 0.0
    assert one.neutral == other.neutral != POPULATION_NEUTRAL


def test_landmarks_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r'must have shape \(468, 3\)'):
        NeutralFaceLearner().update(0.0, np.zeros((5, 3)))


@pytest.mark.parametrize(
    'changes',
    [
        {'min_evidence_s': 0.0},
        {'full_evidence_s': 10.0},
        {'memory_s': 0.0},
        {'min_rest': 1.0},
        {'max_turn_rad': math.nan},
        {'min_eye_span_px': -1.0},
        {'max_offset': 4.0},
        {'min_width': 0.0},
        {'max_gap_s': math.inf},
    ],
)
def test_settings_out_of_order_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        NeutralFaceSettings(**changes)
