# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a picture shows of eyes and mouth: outside, dark, blurred, covered, or seen."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.face_views import FaceViewer, FaceViews, View, ViewSettings
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline

pytestmark = pytest.mark.models

SEEN = FaceViews()


@pytest.fixture(scope='module')
def portrait(place_astronaut):
    return place_astronaut(320, 240, 2.0)


@pytest.fixture(scope='module')
def landmarks(detection_engine, mesh_engine, portrait):
    pipeline = FacePipeline(FaceDetector(detection_engine), FaceMesh(mesh_engine))
    (face,) = pipeline.process_still(portrait)
    return face.landmarks_px


def eyes_of(landmarks):
    return [landmarks[list(ends), :2].mean(axis=0) for ends in ((33, 133), (362, 263))]


def glasses(image, landmarks, colour, axes=(34, 25)):
    image = image.copy()
    for x, y in eyes_of(landmarks):
        cv2.ellipse(image, (int(x), int(y)), axes, 2, 0, 360, colour, -1, cv2.LINE_AA)
    return image


def look(image, landmarks, **settings):
    return FaceViewer(ViewSettings(**settings)).observe(image, [('f1', landmarks)], math.nan)[0]


def test_a_well_lit_face_is_seen(portrait, landmarks):
    assert look(portrait, landmarks) == SEEN


def test_without_landmarks_nothing_is_said_against_it(portrait):
    assert FaceViewer().observe(portrait, [('f1', None)], 0.0) == [SEEN]


@pytest.mark.parametrize('colour', [(12, 12, 14), (196, 150, 128), (90, 60, 40)])
def test_sunglasses_and_hands_cover_the_eyes(portrait, landmarks, colour):
    noise = np.random.default_rng(3).normal(0, 2, portrait.shape)
    image = np.clip(glasses(portrait, landmarks, colour) + noise, 0, 255).astype(np.uint8)
    views = look(image, landmarks)
    assert (views.right_eye, views.left_eye) == (View.COVERED, View.COVERED)
    assert not views.expression_is_seen


def test_a_mask_covers_the_mouth_only(portrait, landmarks):
    image = portrait.copy()
    hull = cv2.convexHull(landmarks[[50, 280, 2, 152, 172, 397, 58, 288], :2].astype(np.int32))
    cv2.fillPoly(image, [hull], (150, 190, 215), cv2.LINE_AA)
    views = look(image, landmarks)
    assert views == FaceViews(mouth=View.COVERED)
    assert not views.expression_is_seen


def test_an_eye_at_the_picture_s_edge_is_outside(portrait, landmarks):
    right, _ = eyes_of(landmarks)
    cut = int(right[0]) + 5
    moved = landmarks - np.array((cut, 0, 0), np.float32)
    views = look(np.ascontiguousarray(portrait[:, cut:]), moved)
    assert (views.right_eye, views.left_eye) == (View.OUTSIDE, View.SEEN)


def test_too_little_light_is_dark_and_half_of_it_is_not(portrait, landmarks):
    noise = np.random.default_rng(0).normal(0, 2, portrait.shape)
    for gain, view in ((0.5, View.SEEN), (0.07, View.DARK)):
        image = np.clip(portrait * gain + noise, 0, 255).astype(np.uint8)
        assert look(image, landmarks, cover_odds=100.0).right_eye is view


def test_smeared_eyes_are_blurred(portrait, landmarks):
    image = cv2.GaussianBlur(portrait, (0, 0), 9.0)
    assert look(image, landmarks, cover_odds=100.0).left_eye is View.BLURRED


def test_what_covers_them_is_judged_over_time(portrait, landmarks):
    """A single odd image changes nothing, and who takes the glasses off is seen soon."""
    viewer = FaceViewer(ViewSettings(memory_s=0.5, period_s=0.0))
    dark = glasses(portrait, landmarks, (12, 12, 14))

    def watch(image, start_s, count):
        return [
            viewer.observe(image, [('f1', landmarks)], start_s + i / 30)[0].right_eye
            for i in range(count)
        ]

    assert watch(portrait, 0.0, 30)[-1] is View.SEEN
    assert watch(dark, 1.0, 1) == [View.SEEN]
    assert watch(portrait, 1.1, 30)[-1] is View.SEEN
    covered = watch(dark, 3.0, 60)
    assert covered[-1] is View.COVERED
    off = watch(portrait, 5.0, 60)
    assert off[0] is View.COVERED
    assert off[-1] is View.SEEN


def test_a_face_is_not_looked_at_in_every_image_but_a_new_one_at_once(portrait, landmarks):
    viewer = FaceViewer(ViewSettings(memory_s=0.0, period_s=0.5))
    dark = glasses(portrait, landmarks, (12, 12, 14))
    assert viewer.observe(portrait, [('f1', landmarks)], 1.0) == [SEEN]
    assert viewer.observe(dark, [('f1', landmarks)], 1.4) == [SEEN]
    assert viewer.observe(dark, [('f1', landmarks)], 1.5)[0].right_eye is View.COVERED
    both = [('f1', landmarks), ('f2', landmarks)]
    first, second = viewer.observe(portrait, both, 1.6)
    assert (first.right_eye, second) == (View.COVERED, SEEN)
    assert viewer.observe(portrait, both, 2.0)[0] == SEEN


def test_what_is_known_of_a_face_stays_while_it_waits_for_its_turn(portrait, landmarks):
    viewer = FaceViewer(ViewSettings(memory_s=1.0, period_s=0.1))
    dark = glasses(portrait, landmarks, (12, 12, 14))
    for i in range(30):
        viewer.observe(dark, [('f1', landmarks)], i / 10)
    viewer.observe(dark, [('f2', landmarks)], 3.0, waiting=['f1'])
    viewer.observe(dark, [('f2', landmarks)], 3.2, waiting=['f1'])
    assert viewer.observe(portrait, [('f1', landmarks)], 3.3)[0].right_eye is View.COVERED
    viewer.observe(dark, [('f2', landmarks)], 3.5)
    assert viewer.observe(portrait, [('f1', landmarks)], 3.6)[0].right_eye is View.SEEN
