# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from euler_angles import from_yaw_pitch_roll
from hypothesis import given, settings
from hypothesis import strategies as st

from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M, SELLION
from aitable_ros.perception.maths.rotation import product, to_matrix
from aitable_ros.visualization.overlay.head_axes import AXIS_LENGTH_M, head_axes_px

FOCAL_PX, CENTRE_PX = 600.0, np.array((320.0, 240.0))

# a face that looks against the camera's viewing direction, in the optical frame
FACING = (0.5, 0.5, -0.5, 0.5)


def matrix(orientation):
    return np.array(to_matrix(orientation))


def project(points_m):
    points_m = np.asarray(points_m)
    return FOCAL_PX * points_m[..., :2] / points_m[..., 2:] + CENTRE_PX


def landmarks(position_m, orientation, size=1.0):
    """FaceMesh's rigid points as a camera sees them; the others are not there."""
    points = np.full((468, 3), np.nan)
    for index, point in RIGID_POINTS_M.items():
        seen_m = position_m + matrix(orientation) @ np.array(point) * size
        points[index, :2] = project(seen_m)
    return points


def test_a_face_that_looks_at_the_camera_has_its_left_on_the_right_and_up_upwards():
    axes = head_axes_px(landmarks((0.0, 0.0, 0.6), FACING), (0.0, 0.0, 0.6), FACING)
    origin, x, y, z = axes
    nose_m = matrix(FACING) @ np.array(RIGID_POINTS_M[4]) + (0.0, 0.0, 0.6)
    np.testing.assert_allclose(origin, project(nose_m), atol=1e-9)
    assert y[0] - origin[0] > 30.0
    assert y[1] == pytest.approx(origin[1])
    assert z[1] - origin[1] < -30.0
    assert z[0] == pytest.approx(origin[0])
    assert np.hypot(*(x - origin)) < 6.0  # it points at the camera, from a little below


poses = st.tuples(
    st.floats(-0.25, 0.25),
    st.floats(-0.15, 0.15),
    st.floats(0.4, 2.0),
    st.floats(-0.8, 0.8),
    st.floats(-0.5, 0.5),
    st.floats(-0.6, 0.6),
)


@given(pose=poses, size=st.floats(0.8, 1.2))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_axes_lie_where_the_camera_sees_them(pose, size):
    """A face of another size is taken for one that is nearer or farther: the image is the same."""
    position_m = np.array(pose[:3])
    orientation = product(from_yaw_pitch_roll(*pose[3:]), FACING)
    rotation = matrix(orientation)
    seen = landmarks(position_m * size, orientation, size)
    axes = head_axes_px(seen, position_m, orientation)
    nose_m = position_m + rotation @ np.array(RIGID_POINTS_M[4])
    truth = project(np.vstack((nose_m, nose_m + AXIS_LENGTH_M * rotation.T)))
    np.testing.assert_allclose(axes, truth, atol=1e-6)


@pytest.mark.parametrize(
    'changes',
    [
        {'position_m': (0.0, 0.0, 0.0)},
        {'position_m': (0.0, 0.0, -0.6)},
        {'position_m': (np.nan, 0.0, 0.6)},
        {'orientation_xyzw': (np.nan, 0.0, 0.0, 1.0)},
        {'orientation_xyzw': (0.0, 0.0, 0.0, 0.0)},
    ],
)
def test_a_pose_that_is_none_has_no_axes(changes):
    given_values = {'position_m': (0.0, 0.0, 0.6), 'orientation_xyzw': FACING, **changes}
    assert head_axes_px(landmarks((0.0, 0.0, 0.6), FACING), **given_values) is None


def test_landmarks_that_are_not_there_have_no_axes():
    points = landmarks((0.0, 0.0, 0.6), FACING)
    points[SELLION] = np.nan
    assert head_axes_px(points, (0.0, 0.0, 0.6), FACING) is None
    assert head_axes_px(np.zeros((468, 3)), (0.0, 0.0, 0.6), FACING) is None
