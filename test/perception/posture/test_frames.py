# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How the camera stands above the desk."""

from __future__ import annotations

import math

import numpy as np
import pytest
from euler_angles import from_yaw_pitch_roll

from aitable_ros.perception.maths import rotation
from aitable_ros.perception.posture.frames import CameraPlacement, PlacementSource, turn_to


def to_level(placement, optical):
    return placement.level_from_optical() @ np.array(optical, dtype=float)


def test_a_level_camera():
    placement = CameraPlacement()
    assert placement.source is PlacementSource.NONE
    assert to_level(placement, (0, 0, -1)) == pytest.approx((1, 0, 0))  # towards the camera
    assert to_level(placement, (1, 0, 0)) == pytest.approx((0, 1, 0))  # right of the image
    assert to_level(placement, (0, -1, 0)) == pytest.approx((0, 0, 1))  # up


def test_a_camera_that_looks_down_sees_the_horizon_above_the_middle():
    placement = CameraPlacement.from_angles(math.radians(30.0))
    # what lies straight ahead of it lies below its height
    ahead = to_level(placement, (0, 0, 1))
    assert ahead[2] == pytest.approx(-0.5)
    assert ahead[0] < 0
    assert ahead[1] == pytest.approx(0.0)


def test_a_camera_that_is_tilted_to_its_right_sees_the_world_tilted_to_the_left():
    placement = CameraPlacement.from_angles(0.0, math.radians(20.0))
    # its left side has risen: up has moved to the left of the image
    assert placement.up[0] < 0
    assert to_level(placement, placement.up) == pytest.approx((0, 0, 1))


@pytest.mark.parametrize('angles_deg', [(0, 0), (25, 0), (-15, 5), (10, -40)])
def test_level_from_optical_is_a_rotation(angles_deg):
    matrix = CameraPlacement.from_angles(*map(math.radians, angles_deg)).level_from_optical()
    assert matrix @ matrix.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_a_transform_says_the_same_as_the_angles():
    pitch, roll = math.radians(20.0), math.radians(-6.0)
    # REP-103: the camera's body frame in the desk's, then the optical frame in the body's
    body = from_yaw_pitch_roll(math.radians(70.0), pitch, roll)
    optical = rotation.product(body, (-0.5, 0.5, -0.5, 0.5))
    by_tf = CameraPlacement.from_transform((0.3, -0.2, 0.45), optical)
    by_angles = CameraPlacement.from_angles(pitch, roll, 0.45)
    assert by_tf.up == pytest.approx(by_angles.up)
    assert by_tf.height_m == 0.45
    assert by_tf.source is PlacementSource.TF


@pytest.mark.parametrize('direction', [(0, 0, 1), (0.3, -0.2, 1), (-1, 0, 1), (0, 2, 0.5)])
def test_turn_to_takes_the_viewing_direction_there_by_the_shortest_way(direction):
    direction = np.array(direction, dtype=float)
    turn = turn_to(direction)
    unit = direction / np.linalg.norm(direction)
    assert turn @ (0, 0, 1) == pytest.approx(unit)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12)
    axis = np.cross((0, 0, 1), unit)
    assert turn @ axis == pytest.approx(axis, abs=1e-12)
