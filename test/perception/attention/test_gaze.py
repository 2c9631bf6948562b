# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Gaze of faces whose eyes are known to look somewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.perception.attention.eye_direction import EyeSettings, look, view_angles
from aitable_ros.perception.attention.gaze import Gaze, GazeSettings, GazeState, GazeTracker
from aitable_ros.perception.faces.face_views import FaceViews, View
from aitable_ros.perception.head.head_pose import HeadPoseEstimator, HeadPoseTracker
from aitable_ros.simulation.looking_face import SIZE_PX, Looking, looking_landmarks, towards


def rad(degrees: float) -> float:
    return math.radians(degrees)


def gaze_of(
    looking: Looking, views: FaceViews | None = None, settings: GazeSettings | None = None
) -> Gaze:
    landmarks = looking_landmarks(looking)
    pose = HeadPoseEstimator().estimate(landmarks, SIZE_PX)
    return GazeTracker(settings).update(0.0, landmarks, pose, views or FaceViews())


def error_rad(gaze: Gaze, looking: Looking) -> float:
    truth = towards(looking.gaze_yaw_rad, looking.gaze_pitch_rad, looking.position_m)
    return math.acos(min(sum(a * b for a, b in zip(gaze.direction, truth)), 1.0))


@pytest.mark.parametrize('noise_px', [0.3, 1.0])
def test_within_4_degrees_median_and_8_at_p95_for_eyes_of_30_px(noise_px: float) -> None:
    """Heads turned up to 25 degrees, eyes another 20, off the axis, for a third of a second."""
    rng = np.random.default_rng(18)
    errors, widths = [], []
    for _ in range(150):
        turn, bow = rng.uniform(-rad(24), rad(24)), rng.uniform(-rad(12), rad(12))
        looking = Looking(
            turn + rng.uniform(-rad(20), rad(20)),
            bow + rng.uniform(-rad(12), rad(12)),
            turn,
            bow,
            rng.uniform(-0.2, 0.2),
            (rng.uniform(-0.1, 0.1), rng.uniform(-0.08, 0.08), 0.45),
        )
        head, eyes, gaze = HeadPoseTracker(), GazeTracker(), Gaze(GazeState.NO_HEAD)
        for i in range(10):
            landmarks = looking_landmarks(looking, noise_px, rng)
            pose = head.update(i / 30, landmarks, SIZE_PX)
            gaze = eyes.update(i / 30, landmarks, pose, FaceViews())
        if gaze.right is not None:
            widths.append(gaze.right.width_px)
        if gaze.state is GazeState.MEASURED:
            errors.append(error_rad(gaze, looking))
    assert np.median(widths) == pytest.approx(30.0, abs=2.0)
    assert len(errors) >= 0.9 * 150
    assert np.median(errors) < rad(4)
    assert np.percentile(errors, 95) < rad(8)


class TestDirections:
    @pytest.mark.parametrize('position_m', [(0.0, 0.0, 0.6), (0.2, 0.1, 0.6), (-0.2, -0.1, 0.5)])
    def test_a_look_into_the_camera_is_zero_from_everywhere(self, position_m) -> None:
        gaze = gaze_of(Looking(position_m=position_m))
        assert gaze.state is GazeState.MEASURED
        assert gaze.yaw_rad == pytest.approx(0.0, abs=rad(1.5))
        assert gaze.pitch_rad == pytest.approx(0.0, abs=rad(1.5))

    def test_to_the_persons_left_and_down_are_positive(self) -> None:
        gaze = gaze_of(Looking(rad(15), rad(10)))
        assert gaze.yaw_rad == pytest.approx(rad(15), abs=rad(2))
        assert gaze.pitch_rad == pytest.approx(rad(10), abs=rad(2))
        # the person's left is the image's right, down is down
        assert gaze.direction[0] > 0.0
        assert gaze.direction[1] > 0.0
        assert gaze.direction[2] < 0.0

    def test_eyes_stay_on_the_camera_while_the_head_turns(self) -> None:
        for turn in (-25, -10, 10, 25):
            gaze = gaze_of(Looking(head_yaw_rad=rad(turn)))
            assert gaze.yaw_rad == pytest.approx(0.0, abs=rad(3))
            assert gaze.left is not None
            assert gaze.left.yaw_rad == pytest.approx(-rad(turn), abs=rad(4))

    def test_angles_from_the_line_to_the_camera(self) -> None:
        position = (0.1, -0.2, 0.7)
        direction = towards(0.3, -0.1, position)
        assert view_angles(direction, position) == pytest.approx((0.3, -0.1))

    def test_each_eye_for_itself(self) -> None:
        landmarks = looking_landmarks(Looking(rad(10)))
        pose = HeadPoseEstimator().estimate(landmarks, SIZE_PX)
        assert pose is not None
        right, left = look(landmarks, pose, EyeSettings())
        assert right.yaw_rad == pytest.approx(rad(10), abs=rad(2))
        assert left.yaw_rad == pytest.approx(rad(10), abs=rad(2))
        assert right.aperture == pytest.approx(0.65, abs=0.1)


class TestReasons:
    def test_without_a_head_pose(self) -> None:
        gaze = GazeTracker().update(0.0, looking_landmarks(Looking()), None, FaceViews())
        assert gaze.state is GazeState.NO_HEAD
        assert math.isnan(gaze.yaw_rad)

    def test_without_irises(self) -> None:
        landmarks = looking_landmarks(Looking())
        pose = HeadPoseEstimator().estimate(landmarks, SIZE_PX)
        gaze = GazeTracker().update(0.0, landmarks[:468], pose, FaceViews())
        assert gaze.state is GazeState.NO_IRISES

    def test_eyes_closed(self) -> None:
        assert gaze_of(Looking(openness=0.2)).state is GazeState.EYES_CLOSED

    def test_eyes_too_small(self) -> None:
        assert gaze_of(Looking(position_m=(0.0, 0.0, 1.5))).state is GazeState.TOO_SMALL

    def test_head_turned_away(self) -> None:
        assert gaze_of(Looking(head_yaw_rad=rad(60))).state is GazeState.TURNED

    @pytest.mark.parametrize('view', [View.COVERED, View.DARK, View.BLURRED, View.OUTSIDE])
    def test_eyes_unseen(self, view: View) -> None:
        assert gaze_of(Looking(), FaceViews(view, view)).state is GazeState.EYES_UNSEEN

    def test_one_seen_eye_is_enough(self) -> None:
        gaze = gaze_of(Looking(rad(10)), FaceViews(View.COVERED, View.SEEN))
        assert gaze.state is GazeState.MEASURED
        assert gaze.yaw_rad == pytest.approx(rad(10), abs=rad(2))

    def test_eyes_that_look_apart(self) -> None:
        landmarks = looking_landmarks(Looking())
        landmarks[468:473, 0] += 4.0
        landmarks[473:478, 0] -= 4.0
        pose = HeadPoseEstimator().estimate(landmarks, SIZE_PX)
        gaze = GazeTracker().update(0.0, landmarks, pose, FaceViews())
        assert gaze.state is GazeState.EYES_DISAGREE

    def test_an_eye_that_no_eye_can_turn_to(self) -> None:
        landmarks = looking_landmarks(Looking())
        landmarks[468:478, 0] += 30.0
        pose = HeadPoseEstimator().estimate(landmarks, SIZE_PX)
        gaze = GazeTracker().update(0.0, landmarks, pose, FaceViews())
        assert gaze.state is GazeState.EYES_DISAGREE

    def test_what_is_no_number_is_not_measured(self) -> None:
        landmarks = looking_landmarks(Looking())
        pose = HeadPoseEstimator().estimate(landmarks, SIZE_PX)
        landmarks[468:478] = math.nan
        gaze = GazeTracker().update(0.0, landmarks, pose, FaceViews())
        assert gaze.state is GazeState.NO_IRISES


def test_smoothing_follows_and_calms() -> None:
    rng = np.random.default_rng(4)
    eyes, head, noisy, calm = GazeTracker(), HeadPoseTracker(), [], []
    for i in range(90):
        looking = Looking(rad(20) if i >= 60 else 0.0)
        landmarks = looking_landmarks(looking, 0.5, rng)
        pose = head.update(i / 30, landmarks, SIZE_PX)
        calm.append(eyes.update(i / 30, landmarks, pose, FaceViews()).yaw_rad)
        noisy.append(GazeTracker().update(0.0, landmarks, pose, FaceViews()).yaw_rad)
    assert np.nanstd(calm[20:60]) < 0.7 * np.nanstd(noisy[20:60])
    assert calm[66] == pytest.approx(rad(20), abs=rad(5))
