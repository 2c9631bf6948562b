# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which face goes with a body."""

from __future__ import annotations

import numpy as np
import pytest
from sitting_person import SittingPerson, film_body

from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M
from aitable_ros.perception.head.head_pose import HeadPoseEstimator
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint, BodyKeypoints
from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.perception.posture.person import match_face, seen_face

INTRINSICS = CameraIntrinsics(640, 480, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))


@pytest.fixture
def body():
    return film_body(SittingPerson(), INTRINSICS, CameraPlacement())


@pytest.fixture
def own(body):
    x, y = body.xy_px[BodyKeypoint.NOSE]
    return (x - 50, y - 60, 100, 110)


def test_the_face_around_its_nose(body, own):
    x, y, width, height = own
    others = [(x - 200, y, width, height), (x + 200, y, width, height)]
    assert match_face(body, [others[0], own, others[1]]) == 1


def test_no_face_is_no_match(body, own):
    x, y, width, height = own
    assert match_face(body, []) is None
    assert match_face(body, [(x + 1.2 * width, y, width, height)]) is None
    assert match_face(body, [(x, y, 0, 0)]) is None


def test_of_two_that_fit_the_nearer_one(body, own):
    x, y, width, height = own
    assert match_face(body, [(x + 30, y, width, height), own]) == 1


def test_a_body_without_a_head_has_no_face(own):
    body = BodyKeypoints(np.full((33, 2), np.nan, np.float32), np.zeros(33, np.float32), 0.9, None)
    assert match_face(body, [own]) is None


def test_a_face_gives_its_orientation_and_eyes():
    landmarks = np.zeros((468, 3), np.float32)
    for index, (forward, left, up) in RIGID_POINTS_M.items():
        depth = 0.8 - forward
        landmarks[index, :2] = 320 + 600 * left / depth, 240 - 600 * up / depth
    face = seen_face(landmarks, (640, 480), HeadPoseEstimator(), INTRINSICS)
    assert face.orientation_xyzw == pytest.approx((0.5, 0.5, -0.5, 0.5), abs=0.01)
    assert face.left_eye_px[0] > face.right_eye_px[0], 'the left eye is on the right of the image'
    assert seen_face(None, (640, 480), HeadPoseEstimator()) is None
    landmarks[7] = np.nan
    assert seen_face(landmarks, (640, 480), HeadPoseEstimator()) is None
