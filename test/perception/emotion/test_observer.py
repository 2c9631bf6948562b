# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from posed_faces import seen_face, smile

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import Selection
from aitable_ros.perception.emotion.observer import EmotionObserver, EmotionSettings
from aitable_ros.perception.faces.observer import SeenFaces

SIZE = (640, 480)
IMAGE = np.zeros((480, 640, 3), np.uint8)


class FakeEngine:
    """An EmoNet that is sure of surprise."""

    name, backend, path, cuts_crops = 'emonet', 'test', Path(__file__), False
    outputs = (SimpleNamespace(name='expression', shape=(-1, 8)),)

    def __init__(self):
        self.batches = []

    def infer(self, inputs):
        count = len(inputs['image'])
        self.batches.append(count)
        expression = np.zeros((count, 8), np.float32)
        expression[:, 3] = 9.0
        flat = np.zeros((count, 1), np.float32)
        return {'expression': expression, 'valence': flat, 'arousal': flat}

    def close(self): ...


def with_network(**settings):
    engine = FakeEngine()
    selection = Selection(engine, 'test', engine.path)
    return EmotionObserver((selection,), EmotionSettings(**settings), reading='emonet'), engine


def seen(stamp_s, *faces):
    return SeenFaces(stamp_s, SIZE, faces)


def nothing():
    raise AssertionError('no network looks at images here')


def test_without_a_network_landmarks_are_read_in_every_image():
    observer = EmotionObserver()
    for i in range(5):
        (reading,) = observer.observe(seen(i / 30, seen_face(landmarks=smile())), nothing)
    assert (reading.estimate.label, reading.estimate.backend) == ('happy', 'geometry')
    assert observer.backend == 'geometry'
    (reading,) = observer.observe(seen(1.0, seen_face(landmarks=None)), nothing)
    assert reading.estimate.label == 'unknown'


def test_a_network_looks_at_its_rate_at_all_faces_at_once():
    observer, engine = with_network(max_rate_hz=5.0)
    faces = [seen_face(face_id='f1'), seen_face(face_id='f2')]
    found = [observer.observe(seen(i / 10, *faces), lambda: IMAGE) for i in range(10)]
    assert [len(one) for one in found] == [2, 0] * 5
    assert engine.batches == [2] * 5
    assert found[0][1].estimate.label == 'surprise'


def test_faces_that_take_turns_are_read_all_of_them():
    observer, _ = with_network(max_rate_hz=5.0)
    read = []
    for i in range(60):  # every sixth image would always have the same face
        found = observer.observe(seen(i / 30, seen_face(face_id=f'f{i % 2}')), lambda: IMAGE)
        read += [one.face.face_id for one in found]
    assert read.count('f0') == pytest.approx(10, abs=1)
    assert read.count('f1') == pytest.approx(10, abs=1)


def test_an_image_that_is_not_at_hand_is_counted_and_the_next_one_due():
    observer, _ = with_network(max_rate_hz=5.0)
    assert observer.observe(seen(0.0, seen_face()), lambda: None) == []
    assert observer.without_image == 1
    assert len(observer.observe(seen(0.1, seen_face()), lambda: IMAGE)) == 1


def test_what_should_not_be_claimed_is_unknown_or_uncertain():
    observer, _ = with_network(min_face_px=1000.0)
    (reading,) = observer.observe(seen(0.0, seen_face()), lambda: IMAGE)
    assert reading.estimate.label == 'unknown'
    observer.adopt(EmotionSettings(min_confidence=1.0))
    (reading,) = observer.observe(seen(1.0, seen_face()), lambda: IMAGE)
    assert reading.estimate.label == 'uncertain'
    assert max(reading.estimate.probabilities) > 0.9


def test_smoothing_is_per_face_and_can_change_while_it_works():
    observer = EmotionObserver(settings=EmotionSettings(smoothing_s=10.0))
    observer.observe(seen(0.0, seen_face()), nothing)
    (held,) = observer.observe(seen(0.1, seen_face(landmarks=smile())), nothing)
    (other,) = observer.observe(seen(0.1, seen_face(face_id='f2', landmarks=smile())), nothing)
    assert (held.estimate.label, other.estimate.label) == ('neutral', 'happy')
    observer.adopt(replace(observer.settings, smoothing_s=0.0))
    (free,) = observer.observe(seen(0.2, seen_face(landmarks=smile())), nothing)
    assert free.estimate.label == 'happy'


def test_another_observer_goes_on_with_the_people_and_the_rate():
    first, _ = with_network(max_rate_hz=5.0)
    second, _ = with_network(max_rate_hz=5.0)
    first.observe(seen(0.0, seen_face()), lambda: IMAGE)
    second.continue_from(first)
    assert second.observe(seen(0.1, seen_face()), lambda: IMAGE) == []


def test_who_comes_later_is_smoothed_as_the_other_observer_says():
    second = EmotionObserver(settings=EmotionSettings(smoothing_s=10.0))
    second.continue_from(EmotionObserver())
    second.observe(seen(0.0, seen_face()), nothing)
    (held,) = second.observe(seen(0.1, seen_face(landmarks=smile())), nothing)
    assert held.estimate.label == 'neutral'


def test_a_picture_is_read_whatever_came_before():
    observer, _ = with_network(max_rate_hz=5.0)
    observer.observe(seen(0.0, seen_face()), lambda: IMAGE)
    assert len(observer.observe_still(seen(0.0, seen_face()), IMAGE)) == 1
    assert observer.observe(seen(0.1, seen_face()), lambda: IMAGE) == []


def test_when_time_goes_back_the_next_image_is_due():
    observer, _ = with_network(max_rate_hz=5.0)
    observer.observe(seen(100.0, seen_face()), lambda: IMAGE)
    found = [observer.observe(seen(50.0 + i / 30, seen_face()), lambda: IMAGE) for i in range(3)]
    assert [len(one) for one in found] == [0, 0, 1], 'a jump lasts from its third image on'


def test_late_images_teach_nothing():
    observer = EmotionObserver(settings=EmotionSettings(smoothing_s=10.0))
    observer.observe(seen(100.0, seen_face()), nothing)
    for stamp_s in (99.9, 0.0, -10.0, 3700.0):
        (reading,) = observer.observe(seen(stamp_s, seen_face(landmarks=smile())), nothing)
        assert reading.estimate.label == 'neutral'
    assert observer.stream.late == 4


class TestLoading:
    def fail(self, names):
        raise InferenceError(f'{names[0]} has no working backend')

    def test_by_itself_it_takes_the_first_reading_that_loads_and_says_why(self):
        observer = EmotionObserver.load(self.fail)
        assert observer.reading == 'geometry'
        assert [str(one) for one in observer.skipped] == [
            'emonet: emonet has no working backend',
            'emotieff: emotieff has no working backend',
            'emotieff_mbf: emotieff_mbf has no working backend',
            'expression: fer has no working backend',
        ]

    def test_a_better_reading_goes_before_and_every_estimate_names_it(self):
        def load(names):
            if names != ('emotieff',):
                return self.fail(names)
            engine = FakeEngine()
            engine.name, engine.inputs = 'emotieff', (SimpleNamespace(shape=(-1, 224, 224, 3)),)
            return [Selection(engine, 'test', engine.path)]

        observer = EmotionObserver.load(load)
        (reading,) = observer.observe(seen(0.0, seen_face()), lambda: IMAGE)
        assert (reading.estimate.reading, reading.estimate.label) == ('emotieff', 'fear')
        assert [one.backend for one in observer.skipped] == ['emonet']

    def test_a_named_reading_is_that_one_or_an_error(self):
        with pytest.raises(InferenceError, match='emonet_5 has no working backend'):
            EmotionObserver.load(self.fail, reading='emonet_5')

    def test_a_named_backend_runs_a_network_or_is_an_error(self):
        with pytest.raises(InferenceError, match='fer has no working backend'):
            EmotionObserver.load(self.fail, backend='ncnn')

    def test_geometry_asks_for_nothing(self):
        observer = EmotionObserver.load(self.fail, reading='geometry')
        assert (observer.reading, observer.skipped) == ('geometry', ())


def test_nobody_is_nothing():
    assert EmotionObserver().observe(seen(math.pi), nothing) == []
