# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from posed_faces import seen_face

from aitable_ros.inference.engine import InferenceError
from aitable_ros.perception.emotion.expression import HAPPY
from aitable_ros.perception.emotion.fer import CLASSES, MIN_LOG, Fer, crop_face

IMAGE = np.tile(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], (480, 1, 3))


class FakeEngine:
    """Is the surer of happiness the brighter the left half of its picture is than the right."""

    name, backend, path = 'fer', 'test', Path(__file__)
    outputs = (SimpleNamespace(name='probabilities', shape=(-1, 7)),)

    def __init__(self, spoil=None):
        self.batches, self.spoil = [], spoil

    def infer(self, inputs):
        images = inputs['image'].astype(float)
        assert images.shape[1:] == (64, 64, 1)
        self.batches.append(len(images))
        contrast = images[:, :, :32].mean(axis=(1, 2, 3)) - images[:, :, 32:].mean(axis=(1, 2, 3))
        found = np.full((len(images), 7), 1e-9, np.float32)
        found[:, CLASSES.index(HAPPY)] = 1.0 / (1.0 + np.exp(-contrast / 20.0))
        return {'probabilities': found if self.spoil is None else self.spoil(found)}


def test_the_crop_is_level_grey_and_hardly_larger_than_the_face():
    face = seen_face()
    crop = crop_face(IMAGE, face.landmarks_px)
    assert (crop.shape, crop.dtype) == ((64, 64, 1), np.uint8)
    across = (int(crop[32, -1, 0]) - int(crop[32, 0, 0])) / (255 / 639)  # pixels of the ramp
    x, y = face.landmarks_px[:, 0], face.landmarks_px[:, 1]
    assert across == pytest.approx(1.05 * max(np.ptp(x), np.ptp(y)) * 63 / 64, rel=0.05)


def test_a_tilted_face_is_turned_upright():
    face = seen_face()
    centre = face.landmarks_px[:, :2].mean(axis=0)
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    tilted = face.landmarks_px.copy()
    tilted[:, :2] = (tilted[:, :2] - centre) @ turn + centre
    upright, turned = (crop_face(IMAGE, points) for points in (face.landmarks_px, tilted))
    assert np.ptp(upright.mean(axis=0)) > 10 * np.ptp(upright.mean(axis=1))
    assert np.ptp(turned.mean(axis=1)) > 10 * np.ptp(turned.mean(axis=0))


@pytest.mark.parametrize('spoil', ['nan', 'nowhere', 'outside'])
def test_landmarks_that_are_nowhere_give_no_crop(spoil):
    points = seen_face().landmarks_px.copy()
    points[:, :2] = {'nan': math.nan, 'nowhere': 7.0, 'outside': points[:, :2] - 5000.0}[spoil]
    assert crop_face(IMAGE, points) is None


def test_a_face_and_its_mirror_image_are_the_same():
    engine = FakeEngine()
    found = Fer(engine).run(IMAGE, [seen_face()])
    mirrored = Fer(engine).run(np.ascontiguousarray(IMAGE[:, ::-1]), [seen_face()])
    np.testing.assert_allclose(found, mirrored, atol=0.05)
    assert engine.batches == [2, 2]


def test_smaller_probabilities_than_one_in_ten_thousand_say_nothing_more():
    found = Fer(FakeEngine()).run(IMAGE, [seen_face()])
    assert found.min() == pytest.approx(MIN_LOG)


def test_faces_without_landmarks_are_left_out_and_many_run_in_batches():
    engine = FakeEngine()
    faces = [seen_face(landmarks=None), *(seen_face() for _ in range(6))]
    found = Fer(engine).run(IMAGE, faces)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()
    assert engine.batches == [8, 4]


def test_what_is_not_finite_is_not_told():
    found = Fer(FakeEngine(lambda p: p * np.nan)).run(IMAGE, [seen_face()])
    assert np.isnan(found).all()


def test_another_network_or_other_shapes_are_refused():
    other = FakeEngine()
    other.outputs = (SimpleNamespace(name='expression', shape=(-1, 8)),)
    with pytest.raises(InferenceError, match=r'expected an output probabilities\[N,7\]'):
        Fer(other)
    with pytest.raises(InferenceError, match=r'expected probabilities\[2, 7\], got \[2, 6\]'):
        Fer(FakeEngine(lambda p: p[:, :6])).run(IMAGE, [seen_face()])
