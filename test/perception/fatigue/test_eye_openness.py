# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.faces.landmarks import LEFT_EYE_EAR, RIGHT_EYE_EAR
from aitable_ros.perception.fatigue.eye_openness import (
    eye_aspect_ratio,
    eye_aspect_ratios,
    mouth_aspect_ratio,
)


def lids(width: float, outer_opening: float, inner_opening: float) -> np.ndarray:
    """p1..p6 of a level eye."""
    return np.array(
        [
            (0, 0),
            (width / 3, -outer_opening / 2),
            (2 * width / 3, -inner_opening / 2),
            (width, 0),
            (2 * width / 3, inner_opening / 2),
            (width / 3, outer_opening / 2),
        ]
    )


def face(left: np.ndarray, right: np.ndarray, columns: int = 3) -> np.ndarray:
    """Random landmarks, but these eyes."""
    landmarks = np.random.default_rng(4).uniform(0, 400, (468, columns)).astype(np.float32)
    landmarks[list(RIGHT_EYE_EAR), :2] = right
    landmarks[list(LEFT_EYE_EAR), :2] = left
    return landmarks


def test_ear_is_the_mean_opening_over_the_width():
    assert eye_aspect_ratio(lids(30, 9, 6)) == pytest.approx((9 + 6) / 2 / 30)
    assert eye_aspect_ratio(lids(30, 0, 0)) == 0


def test_each_eye_gets_its_own_ratio():
    ears = eye_aspect_ratios(face(left=lids(30, 9, 9) + 100, right=lids(40, 8, 8) + 50))
    assert ears.left == pytest.approx(0.3)
    assert ears.right == pytest.approx(0.2)


@given(
    scale=st.floats(0.1, 50),
    angle=st.floats(-math.pi, math.pi),
    shift=st.floats(-2000, 2000),
)
def test_ear_does_not_depend_on_size_tilt_and_place(scale: float, angle: float, shift: float):
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    moved = lids(30, 9, 6) @ np.array([[cos, sin], [-sin, cos]]) + shift
    assert eye_aspect_ratio(moved) == pytest.approx(0.25, rel=1e-6)


def test_depth_is_ignored():
    flat = face(lids(30, 9, 9), lids(30, 6, 6))
    deep = flat.copy()
    deep[:, 2] = np.random.default_rng(5).normal(0, 100, 468)
    assert eye_aspect_ratios(flat) == eye_aspect_ratios(deep) == eye_aspect_ratios(flat[:, :2])


def test_landmarks_appended_by_a_refined_mesh_do_not_matter():
    plain = face(lids(30, 9, 9), lids(30, 6, 6))
    refined = np.concatenate([plain, np.zeros((10, 3), np.float32)])
    assert eye_aspect_ratios(refined) == eye_aspect_ratios(plain)


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_one_bad_coordinate_spoils_only_its_own_eye(bad: float):
    landmarks = face(lids(30, 9, 9), lids(30, 6, 6))
    landmarks[RIGHT_EYE_EAR[2], 1] = bad
    ears = eye_aspect_ratios(landmarks)
    assert math.isnan(ears.right)
    assert ears.left == pytest.approx(0.3)


def test_a_collapsed_eye_is_not_measurable():
    ears = eye_aspect_ratios(np.full((468, 3), 7.0))
    assert math.isnan(ears.left)
    assert math.isnan(ears.right)
    assert math.isnan(mouth_aspect_ratio(np.full((468, 3), 7.0)))


def test_mouth_ratio_is_inner_opening_over_inner_width():
    landmarks = np.zeros((468, 3))
    landmarks[[13, 14, 78, 308], :2] = [(50, 90), (50, 120), (30, 105), (80, 105)]
    assert mouth_aspect_ratio(landmarks) == pytest.approx(30 / 50)
    landmarks[14] = landmarks[13]
    assert mouth_aspect_ratio(landmarks) == 0


@pytest.mark.parametrize('shape', [(467, 3), (468,), (468, 4), (1, 468, 3), (0, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match='expected landmarks of shape'):
        eye_aspect_ratios(np.zeros(shape))
    with pytest.raises(ValueError, match='expected landmarks of shape'):
        mouth_aspect_ratio(np.zeros(shape))
    with pytest.raises(ValueError, match='expected lid points of shape'):
        eye_aspect_ratio(np.zeros(shape))
