# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of a posture: bones that are seen, a badge where there is room."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sitting_person import SittingPerson, film_body

from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint
from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.visualization.overlay.drawing import Rect
from aitable_ros.visualization.overlay.posture_overlay import (
    POSTURE_COLOURS,
    PostureOverlay,
    badge_rect,
)
from aitable_ros.visualization.overlay.scene import draw_scene

INTRINSICS = CameraIntrinsics(640, 480, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))
GREY = np.full((480, 640, 3), 128, np.uint8)


@pytest.fixture
def body():
    person = SittingPerson(hips_m=(-0.9, 0.0, -0.5))
    return film_body(person, INTRINSICS, CameraPlacement())


def test_a_bone_has_the_posture_s_colour_and_the_image_is_left_alone(body):
    before = GREY.copy()
    overlay = PostureOverlay(body.xy_px, body.visibility, posture='slouching')
    picture = draw_scene(GREY, [], overlay)
    assert np.array_equal(GREY, before)
    x, y = body.xy_px[[BodyKeypoint.LEFT_SHOULDER, BodyKeypoint.RIGHT_SHOULDER]].mean(axis=0)
    assert tuple(picture[round(y), round(x)]) == POSTURE_COLOURS['slouching']


def test_what_is_not_seen_is_not_drawn(body):
    body.visibility[:] = 0.2
    overlay = PostureOverlay(body.xy_px, body.visibility)
    assert np.array_equal(draw_scene(GREY, [], overlay), GREY)
    for wild in (math.nan, math.inf, -1e30):
        body.xy_px[:] = wild
        body.visibility[:] = 0.9
        assert np.array_equal(draw_scene(GREY, [], overlay), GREY)


def test_nobody_is_a_badge_alone():
    overlay = PostureOverlay(posture='away')
    rect = badge_rect(480, 640, overlay)
    picture = draw_scene(GREY, [], overlay)
    changed = np.argwhere((picture != GREY).any(axis=2))
    assert (changed.min(axis=0) >= (rect.top, rect.left)).all()
    assert (changed.max(axis=0) < (rect.bottom, rect.right)).all()


def test_the_badge_goes_where_there_is_room():
    overlay = PostureOverlay(posture='upright', camera_distance_m=0.61, eye_desk_m=0.42)
    assert overlay.lines == ('upright', 'camera 61 cm   desk 42 cm')
    first = badge_rect(480, 640, overlay)
    second = badge_rect(480, 640, overlay, avoid=(first,))
    assert second.left > 320
    assert second.top == first.top
    everything = Rect(0, 0, 640, 480)
    assert badge_rect(480, 640, overlay, avoid=(everything,)) is None
    assert badge_rect(10, 10, overlay) is None
    assert badge_rect(480, 640, PostureOverlay()) is None


def test_unmeasured_distances_are_left_out():
    assert PostureOverlay(posture='tilted', eye_desk_m=0.3).lines == ('tilted', 'desk 30 cm')
    assert PostureOverlay(posture='tilted').lines == ('tilted',)


@pytest.mark.parametrize('size', [(1, 1), (120, 160), (1080, 1920)])
def test_any_size(body, size):
    overlay = PostureOverlay(body.xy_px, body.visibility, posture='upright', note='calibrating')
    image = np.zeros((*size, 3), np.uint8)
    assert draw_scene(image, [], overlay).shape == image.shape
