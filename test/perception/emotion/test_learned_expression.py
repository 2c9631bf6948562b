# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The reading that comes with the package: the network fer and the shape of the face, weighed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from posed_faces import NEUTRAL_SHAPE, push, seen_face, smile

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import Selection, load_engine
from aitable_ros.perception.emotion.expression import EXPRESSIONS, HAPPY, NEUTRAL
from aitable_ros.perception.emotion.expression_geometry import VALENCE_AROUSAL
from aitable_ros.perception.emotion.expression_head import FEATURES, features, shipped_head
from aitable_ros.perception.emotion.face_measures import frontalise
from aitable_ros.perception.emotion.fer import CLASSES
from aitable_ros.perception.emotion.learned_expression import LearnedExpression
from aitable_ros.perception.emotion.neutral_face import NeutralFaceLearner
from aitable_ros.perception.emotion.observer import EmotionObserver, EmotionSettings
from aitable_ros.perception.faces.observer import FaceObserver

IMAGE = np.full((480, 640, 3), 128, np.uint8)


class FakeEngine:
    """Says the same of every face."""

    name, backend, path = 'fer', 'test', Path(__file__)
    outputs = (SimpleNamespace(name='probabilities', shape=(-1, 7)),)

    def __init__(self, floor=0.05, **shares):
        self.said = np.full(7, floor, np.float32)
        for name, share in shares.items():
            self.said[CLASSES.index(EXPRESSIONS.index(name))] = share

    def infer(self, inputs):
        return {'probabilities': np.tile(self.said, (len(inputs['image']), 1))}

    def close(self): ...


def read(engine, *, landmarks=NEUTRAL_SHAPE, learner=None, stamp_s=0.0, **settings):
    learned = LearnedExpression(engine, **settings)
    learners = [learner or NeutralFaceLearner()]
    (estimate,) = learned.run(IMAGE, [seen_face(landmarks=landmarks)], learners, stamp_s)
    return estimate


class TestHead:
    def test_its_numbers_belong_to_the_features_and_are_finite(self):
        head = shipped_head()
        assert head.weights.shape == (len(FEATURES), len(EXPRESSIONS)) == (24, 8)
        assert head.rest.shape == (15,)
        assert np.isfinite(head.weights).all()
        assert 0.5 < head.temperature < 2.0

    def test_probabilities_sum_to_one_and_a_bonus_moves_neutral_alone(self):
        x = np.random.default_rng(0).normal(0.0, 0.1, (5, len(FEATURES)))
        head = shipped_head()
        low, high = head.probabilities(x, 0.0), head.probabilities(x, 2.0)
        np.testing.assert_allclose(high.sum(axis=1), 1.0)
        assert (high[:, NEUTRAL] > low[:, NEUTRAL]).all()
        np.testing.assert_allclose(high[:, 1] / high[:, 2], low[:, 1] / low[:, 2])

    def test_left_and_right_are_the_same(self):
        logs = np.full(7, -2.0)
        shape = push(NEUTRAL_SHAPE, (61,), (0.0, 0.1, 0.0), 0.1)  # one mouth corner
        mirrored = shape * (-1.0, 1.0, 1.0)
        # of the mirrored mesh the points have exchanged their places, too
        pairs = [
            int(np.linalg.norm(NEUTRAL_SHAPE * (-1, 1, 1) - p, axis=1).argmin())
            for p in NEUTRAL_SHAPE
        ]
        one, other = (
            features(logs, frontalise(seen_face(landmarks=s).landmarks_px))
            for s in (shape, mirrored[pairs])
        )
        np.testing.assert_allclose(one, other, atol=2e-3)

    def test_half_of_a_person_s_offset_is_taken_off(self):
        face = frontalise(seen_face().landmarks_px)
        offset = np.zeros(15)
        offset[FEATURES.index('mouth_width') - 7] = 0.1
        moved = features(np.zeros(7), face, offset) - features(np.zeros(7), face)
        assert moved[FEATURES.index('mouth_width')] == pytest.approx(-0.05)
        assert np.count_nonzero(moved) == 1


class TestReading:
    def test_network_and_shape_together_say_what_a_face_shows(self):
        estimate = read(FakeEngine(happy=0.9), landmarks=smile())
        assert (estimate.label, estimate.reading, estimate.backend) == (
            *('happy', 'expression'),
            'test',
        )
        assert estimate.confidence == pytest.approx(estimate.probabilities[HAPPY])
        assert read(FakeEngine(neutral=0.9)).label == 'neutral'

    def test_the_shape_counts_whatever_the_network_says(self):
        unsure = FakeEngine(happy=0.3, neutral=0.3)
        calm, smiling = read(unsure), read(unsure, landmarks=smile())
        assert smiling.probabilities[HAPPY] > 1.5 * calm.probabilities[HAPPY]

    def test_valence_and_arousal_are_means_over_the_expressions(self):
        estimate = read(FakeEngine(happy=0.5, surprise=0.5), landmarks=smile())
        expected = estimate.probabilities @ VALENCE_AROUSAL
        assert (estimate.valence, estimate.arousal) == pytest.approx(tuple(expected))

    def test_what_the_network_cannot_see_is_unknown(self):
        assert read(FakeEngine(happy=0.9), landmarks=None).label == 'unknown'
        assert read(FakeEngine(happy=np.nan)).label == 'unknown'

    def test_a_person_at_rest_is_learned_from_faces_that_look_neutral(self):
        learner = NeutralFaceLearner()
        down = push(NEUTRAL_SHAPE, (61, 291), (0.0, -0.06, 0.0), 0.1)
        unsure = FakeEngine(neutral=0.3, sad=0.3)
        first = read(unsure, landmarks=down, learner=learner)
        for i in range(600):
            last = read(unsure, landmarks=down, learner=learner, stamp_s=0.2 * i)
        assert learner.trust > 0.4
        assert last.probabilities[NEUTRAL] > first.probabilities[NEUTRAL] + 0.02

    def test_a_face_that_shows_something_teaches_nothing(self):
        learner = NeutralFaceLearner()
        for i in range(600):
            read(FakeEngine(1e-4, anger=1.0), learner=learner, stamp_s=0.2 * i)
        assert learner.trust == 0.0


@pytest.fixture(scope='module')
def observers(catalog, engines_dir) -> Iterator[tuple[FaceObserver, EmotionObserver]]:
    """Face and emotion observers with the networks that ship."""

    def load(names):
        return [load_engine(catalog[n], 'litert', engines_dir=engines_dir) for n in names]

    faces = FaceObserver.load(load)
    emotion = EmotionObserver.load(load, reading='expression')
    yield faces, emotion
    faces.close()
    emotion.close()


@pytest.mark.models
class TestWithTheNetworksThatShip:
    def test_the_astronaut_smiles(self, observers, astronaut):
        faces, emotion = observers
        (reading,) = emotion.observe_still(faces.observe_still(astronaut), astronaut)
        assert reading.estimate.label == 'happy'
        assert reading.estimate.confidence > 0.9
        assert 'fer.tflite sha256:' in reading.estimate.model

    def test_a_stream_of_one_picture_says_what_the_picture_says(self, observers, astronaut):
        faces, emotion = observers
        still = emotion.observe_still(faces.observe_still(astronaut), astronaut)[0].estimate
        seen = faces.observe_still(astronaut)
        faces.reset()
        emotion.reset()
        emotion.adopt(replace(EmotionSettings(), smoothing_s=1.0))
        for i in range(100):
            found = emotion.observe(replace(seen, stamp_s=i / 5.0), lambda: astronaut)
        emotion.adopt(EmotionSettings())
        np.testing.assert_allclose(found[0].estimate.probabilities, still.probabilities, atol=1e-3)
        assert found[0].estimate.label == still.label


def test_an_engine_of_another_network_is_refused_when_it_is_loaded():
    other = FakeEngine()
    other.outputs = (SimpleNamespace(name='expression', shape=(-1, 8)),)
    with pytest.raises(InferenceError):
        EmotionObserver((Selection(other, 'test', other.path),), reading='expression')
