# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Rotated regions: what is cropped, and how results come back."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.images.roi import RotatedRoi, in_rows


def gradient(height: int, width: int) -> np.ndarray:
    """Red counts columns, green counts rows."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, None]
    return image


def test_region_of_the_same_scale_is_a_plain_cut_out():
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    crop, _ = RotatedRoi(40.0, 30.0, 32.0).crop(image, 32)
    np.testing.assert_array_equal(crop, image[14:46, 24:56])


def test_crop_index_zero_lies_on_the_corner_without_a_half_pixel_shift():
    # MediaPipe's convention: halving the scale takes every other pixel, no average of two.
    crop, to_image = RotatedRoi(64.0, 64.0, 64.0).crop(gradient(128, 128), 32)
    np.testing.assert_array_equal(crop[0, :, 0], np.arange(32, 96, 2))
    np.testing.assert_array_equal(crop[:, 0, 1], np.arange(32, 96, 2))
    np.testing.assert_allclose(to_image, [[2, 0, 32], [0, 2, 32]])


def test_a_face_tilted_clockwise_is_upright_in_the_crop():
    image = np.zeros((200, 200, 3), dtype=np.uint8)
    angle = math.radians(30.0)
    along = np.array((math.cos(angle), math.sin(angle)))
    eyes = np.array((100.0, 100.0)) + np.array((-20.0, 20.0))[:, None] * along
    for eye in eyes:
        cv2.circle(image, tuple(round(v) for v in eye), 4, (255, 255, 255), -1)
    crop, _ = RotatedRoi(100.0, 100.0, 100.0, angle).crop(image, 100)
    rows, columns = np.nonzero(crop[..., 0] > 128)
    left, right = columns < 50, columns >= 50
    assert rows[left].mean() == pytest.approx(50.0, abs=0.7)
    assert rows[right].mean() == pytest.approx(50.0, abs=0.7)
    assert columns[left].mean() == pytest.approx(30.0, abs=0.7)
    assert columns[right].mean() == pytest.approx(70.0, abs=0.7)


@given(
    cx=st.floats(-50.0, 250.0),
    cy=st.floats(-50.0, 250.0),
    size=st.floats(1.0, 400.0),
    angle=st.floats(-math.pi, math.pi),
)
def test_the_map_agrees_with_mediapipes_corner_to_corner_definition(cx, cy, size, angle):
    # MediaPipe warps so that the rotated rectangle's corners fall on the crop's 0 and N.
    corners = cv2.boxPoints(((cx, cy), (size, size), math.degrees(angle)))  # starts lower left
    to_image = RotatedRoi(cx, cy, size, angle).to_image(192)
    crop_corners = np.array(((0, 192, 1), (0, 0, 1), (192, 0, 1), (192, 192, 1)), dtype=float)
    np.testing.assert_allclose(crop_corners @ to_image.T, corners, atol=1e-3)


@pytest.mark.parametrize(
    ('border', 'outside'), [(cv2.BORDER_REPLICATE, 77), (cv2.BORDER_CONSTANT, 0)]
)
def test_border(border, outside):
    image = np.full((10, 10, 3), 77, dtype=np.uint8)
    crop, _ = RotatedRoi(5.0, 5.0, 40.0).crop(image, 40, border=border)
    assert (crop[0, 0] == outside).all()
    assert (crop[20, 20] == 77).all()


def test_crop_is_written_in_place_into_a_batch():
    image = np.random.default_rng(2).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    batch = np.zeros((2, 16, 16, 3), dtype=np.uint8)
    RotatedRoi(40.0, 30.0, 20.0, 0.3).crop(image, 16, out=batch[1])
    np.testing.assert_array_equal(batch[1], RotatedRoi(40.0, 30.0, 20.0, 0.3).crop(image, 16)[0])
    assert not batch[0].any()


@pytest.mark.parametrize(
    'shape', [(1, 1), (1, 5000), (5000, 1), (3, 40000), (40000, 3), (480, 640)]
)
def test_letterbox_of_any_shape_shows_the_whole_image(shape):
    image = np.full((*shape, 3), 200, dtype=np.uint8)
    crop, to_image = RotatedRoi.around(image).crop(image, 128, border=cv2.BORDER_CONSTANT)
    height, width = shape
    corners = np.array(((0, 0, 1), (128, 128, 1))) @ to_image.T
    longer = max(shape)
    np.testing.assert_allclose(
        corners, np.array((width, height)) / 2 + np.array(((-0.5,), (0.5,))) * longer
    )
    if min(shape) * 128 >= longer:
        assert crop.max() == 200


def test_region_far_outside_gives_the_border_and_no_error():
    image = gradient(50, 50)
    crop, _ = RotatedRoi(1e7, -1e7, 10.0).crop(image, 8, border=cv2.BORDER_CONSTANT)
    assert not crop.any()


@pytest.mark.parametrize('border', [cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT])
def test_bgr_pixels_read_backwards_give_the_same_crop(border):
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    view = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    roi = RotatedRoi(70.0, 20.0, 37.3, 0.4)
    out = np.empty((48, 48, 3), np.uint8)
    roi.crop(view, 48, border=border, out=out)
    np.testing.assert_array_equal(out, roi.crop(image, 48, border=border)[0])
    assert in_rows(view) is view
