# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""FaceMesh's landmarks for the 70 points of ROS4HRI: where they lie on a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aitable_ros.ros_support.messages.hri_landmarks import (
    FACEMESH_OF_IBUG,
    LEFT_PUPIL,
    RIGHT_PUPIL,
    hri_landmarks,
)

SHAPE = (
    np.loadtxt(
        Path(__file__).parents[2] / 'perception' / 'emotion' / 'data' / 'neutral_face.csv',
        delimiter=',',
    )
    / 1000.0
)
"""FaceMesh on a neutral face from the front: x to the person's left, y up, z out of the face."""

TABLE = np.array(FACEMESH_OF_IBUG)


def test_the_nose_tip_is_the_foremost_point_and_the_chin_the_lowest():
    assert SHAPE[:, 2].argmax() == TABLE[30]
    assert SHAPE[:, 1].argmin() == TABLE[8]


def test_names_of_the_message_fit_the_places():
    """hri_msgs is not needed: its constants, by where they have to be on the face."""
    where = SHAPE[TABLE]
    right_eye, left_eye = where[36:42], where[42:48]
    assert right_eye[:, 0].max() < 0 < left_eye[:, 0].min()
    # RIGHT_EYE_OUTSIDE=36, INSIDE=39; LEFT_EYE_INSIDE=42, OUTSIDE=45
    assert where[36, 0] < where[39, 0] < where[42, 0] < where[45, 0]
    # TOP_1 and BOTTOM_1 are the outer ones: 37 and 41, 44 and 46
    assert abs(where[37, 0]) > abs(where[38, 0])
    assert abs(where[41, 0]) > abs(where[40, 0])
    assert abs(where[44, 0]) > abs(where[43, 0])
    assert abs(where[46, 0]) > abs(where[47, 0])
    for top, bottom in ((37, 41), (38, 40), (44, 46), (43, 47)):
        assert where[top, 1] > where[bottom, 1]
    assert (np.diff(where[17:27, 0]) > 0).all()  # brows, from the right temple to the left
    assert (np.diff(where[31:36, 0]) > 0).all()  # nostrils
    assert (np.diff(where[27:31, 1]) < 0).all()  # down the nose
    assert (np.diff(where[48:55, 0]) > 0).all()  # upper lip
    assert (np.diff(where[54:60, 0]) < 0).all()  # and back along the lower one


def face_px(width=640, height=480, scale=150.0):
    return SHAPE * (scale, -scale, -scale) + (width / 2, height / 2, 0.0)


def test_coordinates_are_shares_of_the_image():
    points = hri_landmarks(face_px(), (640, 480), 0.9)
    assert points.shape == (70, 3)
    expected = (face_px()[TABLE, :2] + 0.5) / (640, 480)
    np.testing.assert_allclose(points[:68, :2], expected, atol=1e-6)
    np.testing.assert_allclose(points[:68, 2], 0.9)


def test_pupils_are_in_the_eyes_but_not_measured():
    points = hri_landmarks(face_px(), (640, 480), 0.9)
    for pupil, (outer, inner) in ((RIGHT_PUPIL, (36, 39)), (LEFT_PUPIL, (42, 45))):
        middle = points[[outer, inner], :2].mean(axis=0)
        np.testing.assert_allclose(points[pupil, :2], middle, atol=1e-6)
        assert points[pupil, 2] == 0.0


def test_what_lies_outside_of_the_image_has_no_confidence():
    shifted = face_px() + np.array((330.0, 0.0, 0.0))
    points = hri_landmarks(shifted, (640, 480), 0.9)
    outside = shifted[TABLE, 0] > 639.5
    assert 0 < outside.sum() < 68
    assert (points[:68, 2][outside] == 0.0).all()
    assert (points[:68, 2][~outside] > 0.0).all()
    assert points[:, :2].min() >= 0.0
    assert points[:, :2].max() <= 1.0


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_confidence(bad):
    broken = face_px()
    broken[TABLE[5]] = bad
    points = hri_landmarks(broken, (640, 480), 0.9)
    assert np.isfinite(points).all()
    assert points[5, 2] == 0.0
    assert points[6, 2] > 0.0
