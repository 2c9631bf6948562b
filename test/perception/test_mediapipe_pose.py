# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""MediaPipe's own pose solution; what needs it is skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

from aitable_ros.analysis.body_keypoints import BodyKeypoint
from aitable_ros.inference.engine import InferenceError
from aitable_ros.perception.mediapipe_pose import MediapipePose, keypoints_from_landmarks

needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec('mediapipe') is None,
    reason='mediapipe is not installed: run this file in a virtual environment of its own that'
    ' has mediapipe==0.10.21, pytest, scikit-image and aitable (NumPy 1)',
)


def point(x=0.5, y=0.5, z=0.0, visibility=0.9):
    return types.SimpleNamespace(x=x, y=y, z=z, visibility=visibility)


def thirty_three(**changes):
    points = [point() for _ in range(33)]
    for index, values in changes.items():
        points[BodyKeypoint[index]] = point(**values)
    return points


def test_landmarks_become_pixels_and_metres():
    landmarks = thirty_three(NOSE={'x': 0.25, 'y': 0.75, 'visibility': 0.4})
    world = thirty_three(NOSE={'x': 0.1, 'y': -0.6, 'z': -0.3})
    body = keypoints_from_landmarks(landmarks, world, (640, 480), 0.5)
    np.testing.assert_allclose(body.xy_px[BodyKeypoint.NOSE], (160, 360))
    np.testing.assert_allclose(body.world_m[BodyKeypoint.NOSE], (0.1, -0.6, -0.3), rtol=1e-6)
    assert body.visibility[BodyKeypoint.NOSE] == pytest.approx(0.4)
    assert body.score == pytest.approx((0.4 + 0.9 + 0.9) / 3)
    assert body.xy_px.dtype == body.visibility.dtype == body.world_m.dtype == np.float32


def test_outside_of_the_picture_is_not_visible():
    landmarks = thirty_three(LEFT_HIP={'y': 1.2}, RIGHT_HIP={'x': -0.01})
    body = keypoints_from_landmarks(landmarks, thirty_three(), (640, 480), 0.5)
    assert body.visibility[[BodyKeypoint.LEFT_HIP, BodyKeypoint.RIGHT_HIP]].tolist() == [0, 0]


def test_the_score_is_at_least_the_presence_that_was_demanded():
    landmarks = [point(visibility=0.1) for _ in range(33)]
    assert keypoints_from_landmarks(landmarks, landmarks, (64, 64), 0.5).score == 0.5


def test_what_is_incomplete_or_not_finite_is_nobody():
    assert keypoints_from_landmarks(thirty_three()[:5], thirty_three(), (64, 64), 0.5) is None
    broken = thirty_three(NOSE={'x': float('nan')})
    assert keypoints_from_landmarks(broken, thirty_three(), (64, 64), 0.5) is None
    assert keypoints_from_landmarks(thirty_three(), broken, (64, 64), 0.5) is None


def test_without_mediapipe_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mediapipe', None)
    with pytest.raises(InferenceError, match='pip install mediapipe==0.10.21'):
        MediapipePose()


def test_a_version_without_solutions_is_named(monkeypatch):
    module = types.ModuleType('mediapipe')
    module.__version__ = '1.2.2'
    monkeypatch.setitem(sys.modules, 'mediapipe', module)
    with pytest.raises(InferenceError, match='1.2.2 has no solutions.pose'):
        MediapipePose()


class FakePose:
    """Keeps MediaPipe's interface, and remembers how it was used."""

    made: ClassVar[list[FakePose]] = []

    def __init__(self, **settings) -> None:
        self.settings, self.calls = settings, []
        FakePose.made.append(self)

    def process(self, image):
        self.calls.append('process')
        assert image.flags.c_contiguous
        if image.max() == 255:
            raise ValueError('Input image must contain\nthree channel data.')
        landmarks = types.SimpleNamespace(landmark=thirty_three())
        found = image.any()
        return types.SimpleNamespace(
            pose_landmarks=landmarks if found else None, pose_world_landmarks=landmarks
        )

    def reset(self):
        self.calls.append('reset')

    def close(self):
        self.calls.append('close')


@pytest.fixture
def fake(monkeypatch):
    module = types.ModuleType('mediapipe')
    module.solutions = types.SimpleNamespace(pose=types.SimpleNamespace(Pose=FakePose))
    monkeypatch.setitem(sys.modules, 'mediapipe', module)
    monkeypatch.setattr(FakePose, 'made', [])
    return FakePose


IMAGE = np.full((48, 64, 3), 7, dtype=np.uint8)


def test_a_stream_begins_anew_after_a_jump_back_and_with_another_size(fake):
    pose = MediapipePose(min_presence=0.7)
    (stream,) = fake.made
    assert stream.settings['static_image_mode'] is False
    assert stream.settings['min_tracking_confidence'] == 0.7
    pose.process(IMAGE, 1.0)
    pose.process(IMAGE, 1.1)
    assert 'reset' not in stream.calls
    pose.process(IMAGE, 0.5)
    assert stream.calls.count('reset') == 1
    pose.process(IMAGE[:, :32], 0.6)
    assert stream.calls.count('reset') == 2
    assert pose.process(np.zeros_like(IMAGE[:, :32]), 0.7) is None


def test_a_still_has_a_solution_of_its_own_that_is_closed(fake):
    pose = MediapipePose()
    assert pose.process_still(IMAGE) is not None
    stream, still = fake.made
    assert still.settings['static_image_mode'] is True
    assert still.calls == ['process', 'close']
    assert stream.calls == []


def test_its_errors_become_ours_and_closing_twice_is_fine(fake):
    pose = MediapipePose()
    with pytest.raises(InferenceError, match='must contain three channel'):
        pose.process(np.full((4, 4, 3), 255, dtype=np.uint8), 0.0)
    pose.close()
    pose.close()
    assert fake.made[0].calls.count('close') == 1
    with pytest.raises(InferenceError, match='after close'):
        pose.process(IMAGE, 0.0)


def test_images_stamps_and_settings_that_are_none_are_refused(fake):
    pose = MediapipePose()
    with pytest.raises(ValueError, match='stamp_s'):
        pose.process(IMAGE, float('nan'))
    with pytest.raises(ValueError, match='expected an image'):
        pose.process(IMAGE[0], 0.0)
    with pytest.raises(ValueError, match='min_presence'):
        MediapipePose(min_presence=2.0)


@needs_mediapipe
def test_the_real_solution_finds_a_real_person():
    from skimage import data

    pose = MediapipePose()
    try:
        still = pose.process_still(np.ascontiguousarray(data.astronaut()))
        assert still.xy_px[BodyKeypoint.NOSE] == pytest.approx((222.7, 128.0), abs=2.0)
        assert pose.process(np.ascontiguousarray(data.astronaut()), 0.0) is not None
        assert pose.process(np.zeros((64, 64, 3), dtype=np.uint8), 0.1) is None
    finally:
        pose.close()
