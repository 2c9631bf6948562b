# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Quaternions (x, y, z, w) agree with rotation matrices; w is never negative."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from euler_angles import from_yaw_pitch_roll

from aitable_ros.perception.maths import rotation

RANDOM = np.random.default_rng(1843)
QUATERNIONS = [rotation.normalized(RANDOM.normal(size=4)) for _ in range(50)]


def angle_between(a, b):
    return math.hypot(*rotation.to_rotation_vector(rotation.product(rotation.inverse(a), b)))


def matrix_about(axis, angle):
    """Right-handed rotation about axis 0, 1 or 2, written out."""
    c, s = math.cos(angle), math.sin(angle)
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


@pytest.mark.parametrize('angle', [-3.0, -0.4, 0.0, 1e-9, 0.4, math.pi])
def test_a_rotation_vector_is_axis_times_angle(angle):
    for axis in range(3):
        vector = [0.0, 0.0, 0.0]
        vector[axis] = angle
        q = rotation.from_rotation_vector(vector)
        np.testing.assert_allclose(rotation.to_matrix(q), matrix_about(axis, angle), atol=1e-12)
        back = rotation.to_rotation_vector(q)
        assert abs(back[axis]) == pytest.approx(abs(angle), abs=1e-12)
        if abs(angle) < 3.1:
            assert back == pytest.approx(vector, abs=1e-12)


def test_products_are_those_of_matrices():
    for a, b in itertools.pairwise(QUATERNIONS):
        product = rotation.product(a, b)
        expected = np.array(rotation.to_matrix(a)) @ rotation.to_matrix(b)
        np.testing.assert_allclose(rotation.to_matrix(product), expected, atol=1e-12)
        assert product[3] >= 0.0
        np.testing.assert_allclose(
            rotation.rotate(product, (1.0, -2.0, 3.0)), expected @ (1.0, -2.0, 3.0), atol=1e-12
        )
    for q in QUATERNIONS:
        assert rotation.product(q, rotation.inverse(q)) == pytest.approx(rotation.IDENTITY)


def test_a_matrix_and_its_quaternion_are_the_same():
    for q in (*QUATERNIONS, (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)):
        back = rotation.from_matrix(rotation.to_matrix(q))
        assert angle_between(q, back) == pytest.approx(0.0, abs=1e-7)


def test_yaw_pitch_roll_turn_about_fixed_axes_x_then_y_then_z():
    for yaw, pitch, roll in RANDOM.uniform(-1.5, 1.5, (50, 3)):
        q = from_yaw_pitch_roll(yaw, pitch, roll)
        expected = matrix_about(2, yaw) @ matrix_about(1, pitch) @ matrix_about(0, roll)
        np.testing.assert_allclose(rotation.to_matrix(q), expected, atol=1e-12)
        assert rotation.to_yaw_pitch_roll(q) == pytest.approx((yaw, pitch, roll), abs=1e-9)


def test_slerp_goes_the_shortest_way_at_constant_speed():
    a = rotation.from_rotation_vector((0.0, 0.0, 3.0))
    b = rotation.from_rotation_vector((0.0, 0.0, -3.0))
    whole = 2 * math.pi - 6.0
    for share in (0.0, 0.25, 0.5, 1.0):
        between = rotation.slerp(a, b, share)
        assert angle_between(a, between) == pytest.approx(share * whole, abs=1e-7)
        assert angle_between(between, b) == pytest.approx((1 - share) * whole, abs=1e-7)


def test_the_sign_of_a_quaternion_does_not_matter():
    for a, b in itertools.pairwise(QUATERNIONS):
        negative = tuple(-v for v in b)
        assert rotation.slerp(a, negative, 0.3) == pytest.approx(rotation.slerp(a, b, 0.3))
        assert angle_between(b, negative) == pytest.approx(0.0, abs=1e-7)
        assert rotation.normalized(negative) == pytest.approx(b)


@pytest.mark.parametrize('bad', [(0, 0, 0, 0), (math.nan, 0, 0, 1), (0, math.inf, 0, 1)])
def test_what_is_no_rotation_is_refused(bad):
    with pytest.raises(ValueError, match='not a rotation'):
        rotation.normalized(bad)
