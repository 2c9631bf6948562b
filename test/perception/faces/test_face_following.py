# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Real networks on moving pictures: faces stay found, and stay themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings

pytestmark = pytest.mark.models()

RATE_HZ = 30.0


@pytest.fixture
def make_pipeline(detection_engine, mesh_engine):
    def make(**settings):
        return FacePipeline(
            FaceDetector(detection_engine),
            FaceMesh(mesh_engine),
            settings=PipelineSettings(**settings),
        )

    return make


def motion(stamp_s):
    """Where a lively head is: x, y, scale, tilt in degrees."""
    return (
        320 + 130 * math.sin(2.1 * stamp_s),
        230 + 50 * math.sin(3.7 * stamp_s),
        1.3 + 0.35 * math.sin(1.3 * stamp_s),
        25 * math.sin(1.7 * stamp_s),
    )


@pytest.mark.parametrize('rate_hz', [30.0, 10.0])
def test_a_moving_turning_scaling_face_is_one_person(make_pipeline, place_astronaut, rate_hz):
    pipeline = make_pipeline()
    frames, found, errors = int(8 * rate_hz), 0, []
    for i in range(frames):
        stamp_s = 1000.0 + i / rate_hz
        x, y, scale, degrees = motion(i / rate_hz)
        faces = pipeline.process(place_astronaut(x, y, scale, degrees), stamp_s)
        assert [face.face_id for face in faces] in ([], ['f1'])
        if faces:
            found += 1
            left, top, width, height = faces[0].xywh_px
            errors.append(math.dist((x, y), (left + width / 2, top + height / 2)) / (100 * scale))
    assert found >= 0.99 * frames
    assert max(errors) < 0.25


def test_followed_landmarks_agree_with_those_of_a_still_picture(make_pipeline, place_astronaut):
    pipeline = make_pipeline()
    for i in range(45):
        image = place_astronaut(*motion(i / RATE_HZ))
        (followed,) = pipeline.process(image, i / RATE_HZ)
    (still,) = pipeline.process_still(image)
    eye_distance = np.linalg.norm(still.landmarks_px[33, :2] - still.landmarks_px[263, :2])
    distances = np.linalg.norm(followed.landmarks_px[:, :2] - still.landmarks_px[:, :2], axis=1)
    assert np.median(distances) < 0.03 * eye_distance


def test_a_face_that_leaves_and_returns_within_the_memory_keeps_its_id(
    make_pipeline, place_astronaut
):
    pipeline = make_pipeline()
    empty = np.full((480, 640, 3), 90, dtype=np.uint8)
    present, stamp_s = place_astronaut(320, 240, 1.3), 0.0

    def show(image, seconds):
        nonlocal stamp_s
        for _ in range(round(seconds * RATE_HZ)):
            faces = pipeline.process(image, stamp_s)
            stamp_s += 1.0 / RATE_HZ
        return [face.face_id for face in faces]

    assert show(present, 0.5) == ['f1']
    assert show(empty, 2.0) == []
    assert show(place_astronaut(350, 250, 1.2), 0.2) == ['f1']
    assert show(empty, 3.5) == []
    assert show(present, 0.2) == ['f2']


def test_a_jump_of_a_whole_face_is_recovered_in_the_same_image(make_pipeline, place_astronaut):
    pipeline = make_pipeline(max_faces=1)
    pipeline.process(place_astronaut(250, 240, 1.3), 0.0)
    for i in range(1, 8):
        faces = pipeline.process(place_astronaut(250 + 120 * (i % 2), 240, 1.3), i / RATE_HZ)
        assert [face.face_id for face in faces] == ['f1']


@pytest.mark.parametrize(
    ('front', 'speed_px_s'), [('left', 60.0), ('right', 150.0), ('left', 300.0)]
)
def test_two_crossing_people_keep_their_ids(make_pipeline, paste_head, front, speed_px_s):
    # One passes in front of the other, who is hidden for a while and then found again.
    pipeline = make_pipeline(max_faces=2)
    background = np.full((480, 640, 3), 110, dtype=np.uint8)
    owner = {}
    frames = int(400 / speed_px_s * RATE_HZ)
    for i in range(frames):
        left, right = 120 + speed_px_s * i / RATE_HZ, 520 - speed_px_s * i / RATE_HZ
        heads = [(left, False), (right, True)]
        if front == 'left':
            heads.reverse()
        image = background
        for x, mirrored in heads:
            image = paste_head(image, x, 240, mirrored=mirrored)
        faces = pipeline.process(image, i / RATE_HZ)
        if abs(left - right) < 200:
            continue
        assert len(faces) == 2 or left > right
        for face in faces:
            middle = face.xywh_px[0] + face.xywh_px[2] / 2
            who = 'left' if abs(middle - left) < abs(middle - right) else 'right'
            assert owner.setdefault(face.face_id, who) == who, i
    assert sorted(owner) == ['f1', 'f2']
    assert len(faces) == 2


def test_noise_has_no_face(make_pipeline):
    random = np.random.default_rng(3)
    pipeline = make_pipeline()
    for i in range(10):
        image = random.integers(0, 256, (480, 640, 3), dtype=np.uint8)
        assert pipeline.process(image, i / RATE_HZ) == []


def test_another_pipeline_goes_on_with_the_same_faces(make_pipeline, place_astronaut):
    old, new = make_pipeline(), make_pipeline(min_presence=0.4)
    for i in range(5):
        (before,) = old.process(place_astronaut(*motion(i / RATE_HZ)), i / RATE_HZ)
    memory = new.tracker.settings
    new.continue_from(old)
    (after,) = new.process(place_astronaut(*motion(5 / RATE_HZ)), 5 / RATE_HZ)
    assert after.face_id == before.face_id == 'f1'
    assert after.tracked_s > before.tracked_s
    assert new.settings.min_presence == 0.4
    assert new.tracker.settings is memory
