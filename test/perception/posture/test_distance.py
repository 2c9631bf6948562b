# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How far the eyes are: by their apparent distance and by depth images with holes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sitting_person import SittingPerson, depth_image, film_body

from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint
from aitable_ros.perception.posture.distance import (
    DepthImage,
    DistanceSettings,
    DistanceSource,
    eyes_middle,
)
from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.perception.posture.measure import PostureMeter

K = BodyKeypoint
SIZE = (640, 480)
INTRINSICS = CameraIntrinsics(*SIZE, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))


def true_eyes_m(person):
    points = person.points_m()
    return (points[K.LEFT_EYE] + points[K.RIGHT_EYE]) / 2


def sit(person, placement=None, depth=None, **film):
    placement = placement or CameraPlacement()
    body = film_body(person, INTRINSICS, placement, **film)
    return PostureMeter().measure(
        body, SIZE, intrinsics=INTRINSICS, placement=placement, depth=depth
    )


@pytest.mark.parametrize(('head_yaw_deg', 'beside_m'), [(0, 0.0), (0, 0.25), (-25, 0.0)])
def test_apparent_distance_of_the_eyes_gives_the_true_place(head_yaw_deg, beside_m):
    for distance_m in (0.4, 0.6, 0.9, 1.4):
        hips_m = (-distance_m, beside_m * distance_m, -0.6)
        person = SittingPerson(head_yaw_rad=math.radians(head_yaw_deg), hips_m=hips_m)
        sample = sit(person)
        assert sample.distance_source is DistanceSource.EYES
        assert sample.eyes_m == pytest.approx(true_eyes_m(person), rel=0.01, abs=0.002)


def test_a_turned_head_would_measure_too_far_without_its_yaw():
    settings = DistanceSettings()
    yaw = math.radians(35.0)
    eyes = np.array([[0.0315, 0.0, 0.0], [-0.0315, 0.0, 0.0]])
    turn = np.array(
        [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    )
    left, right = eyes @ turn.T + (0.0, 0.0, 0.7)
    known = eyes_middle(left, right, settings, left - right)
    assert known == pytest.approx((0.0, 0.0, 0.7), abs=1e-9)
    unknown = eyes_middle(left, right, settings)
    assert unknown[2] == pytest.approx(0.7 / math.cos(yaw), rel=0.01)


def test_too_far_turned_is_not_measured():
    settings, ahead = DistanceSettings(max_turn_rad=math.radians(50.0)), np.array((0.0, 0.0, 1.0))
    for yaw_deg, known in ((45, True), (60, False)):
        yaw = math.radians(yaw_deg)
        half = 0.0315 * np.array((math.cos(yaw), 0.0, -math.sin(yaw)))
        middle = eyes_middle(half + ahead, -half + ahead, settings, half)
        assert bool(np.isfinite(middle).all()) == known


def test_another_eye_distance_scales():
    person = SittingPerson(eye_distance_m=0.055)
    meter = PostureMeter(distance=DistanceSettings(eye_distance_m=0.055))
    body = film_body(person, INTRINSICS, CameraPlacement())
    sample = meter.measure(body, SIZE, intrinsics=INTRINSICS)
    assert sample.eyes_m == pytest.approx(true_eyes_m(person), rel=0.005)


def test_a_head_of_unknown_turn_is_measured_only_when_it_faces_the_camera():
    for yaw_deg, source in ((0, DistanceSource.EYES), (40, DistanceSource.NONE)):
        person = SittingPerson(head_yaw_rad=math.radians(yaw_deg))
        body = film_body(person, INTRINSICS, CameraPlacement())
        body.visibility[[K.LEFT_EAR, K.RIGHT_EAR]] = 0.0
        sample = PostureMeter().measure(body, SIZE, intrinsics=INTRINSICS)
        assert sample.distance_source is source


def test_eyes_of_a_few_pixels_measure_nothing():
    sample = sit(SittingPerson(hips_m=(-6.0, 0.0, -0.5)))
    assert sample.distance_source is DistanceSource.NONE
    assert math.isnan(sample.eyes_m[0])


@pytest.mark.parametrize('pitch_deg', [-10, 0, 25])
def test_height_above_the_desk(pitch_deg):
    height_m = 0.5
    placement = CameraPlacement.from_angles(math.radians(pitch_deg), 0.04, height_m)
    person = SittingPerson(hips_m=(-0.8, 0.05, -0.65))
    sample = sit(person, placement)
    assert sample.placement.height_m + sample.eyes_m[2] == pytest.approx(
        height_m + true_eyes_m(person)[2], abs=0.005
    )


def test_an_uncalibrated_camera_is_said():
    body = film_body(SittingPerson(), INTRINSICS, CameraPlacement())
    sample = PostureMeter().measure(body, SIZE)
    assert not sample.camera_calibrated
    assert sample.distance_source is DistanceSource.EYES


class TestDepthImage:
    @pytest.fixture
    def person(self):
        return SittingPerson(hips_m=(-0.85, 0.1, -0.5), head_yaw_rad=0.2)

    @pytest.mark.parametrize('dtype', ['16UC1', '32FC1'])
    @pytest.mark.parametrize(('holes', 'scale'), [(0.0, 1), (0.5, 2), (0.8, 1)])
    def test_true_distance_within_one_percent(self, person, dtype, holes, scale):
        rng = np.random.default_rng(3)
        meters = depth_image(person, INTRINSICS, CameraPlacement())
        meters = meters + rng.normal(0.0, 0.003, meters.shape)  # a depth camera's own noise
        meters = meters[::scale, ::scale]
        lost = rng.random(meters.shape) < holes
        if dtype == '16UC1':
            depth = DepthImage(np.where(lost, 0, meters * 1000).astype(np.uint16), 0.001)
        else:
            depth = DepthImage(np.where(lost, np.nan, meters).astype(np.float32), 1.0)
        sample = sit(person, depth=depth)
        assert sample.distance_source is DistanceSource.DEPTH
        true_m = float(np.linalg.norm(true_eyes_m(person)))
        assert math.hypot(*sample.eyes_m) == pytest.approx(true_m, rel=0.01)

    @pytest.mark.parametrize('fill', [0.0, math.nan, math.inf, -1.0, 60.0])
    def test_nothing_measured_is_no_distance(self, fill):
        depth = DepthImage(np.full((480, 640), fill, np.float32), 1.0)
        value = depth.distance_m(np.array((320.0, 240.0)), 8.0, SIZE, DistanceSettings())
        assert math.isnan(value)

    def test_the_background_beside_a_body_does_not_count(self):
        values = np.full((480, 640), 2.5, np.float32)
        values[:, 322:] = 0.8
        depth = DepthImage(values, 1.0)
        measured = depth.distance_m(np.array((320.0, 240.0)), 6.0, SIZE, DistanceSettings())
        assert measured == pytest.approx(0.8)

    @pytest.mark.parametrize('xy', [(-5.0, 10.0), (700.0, 10.0), (math.nan, 10.0), (10.0, 480.0)])
    def test_outside_is_nothing(self, xy):
        depth = DepthImage(np.ones((480, 640), np.float32), 1.0)
        assert math.isnan(depth.distance_m(np.array(xy), 5.0, SIZE, DistanceSettings()))

    @pytest.mark.parametrize('xy', [(0.0, 0.0), (639.0, 479.0)])
    def test_corners_are_inside(self, xy):
        depth = DepthImage(np.ones((480, 640), np.float32), 1.0)
        assert depth.distance_m(np.array(xy), 5.0, SIZE, DistanceSettings()) == 1.0

    def test_another_shape_is_not_registered(self):
        assert DepthImage(np.ones((240, 320), np.uint16), 0.001).fits(SIZE)
        assert not DepthImage(np.ones((480, 480), np.uint16), 0.001).fits(SIZE)


def test_a_depth_range_of_nothing_is_refused():
    with pytest.raises(ValueError, match='need min_depth_m'):
        DistanceSettings(min_depth_m=5.0)
