# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""FaceMesh: regions, mapping back, batches, hostile outputs, and a real face."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.landmarks import keypoints_from_landmarks
from aitable_ros.perception.faces.mesh import (
    FaceMesh,
    landmark_box,
    roi_from_detection,
    roi_from_landmarks,
)
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.ssd import Detection

IMAGE = np.zeros((480, 640, 3), dtype=np.uint8)


def constant_answer(landmarks, logits):
    """The same landmarks for every crop of the batch; one logit each."""

    def answer(images):
        assert len(images) == len(logits)
        return {
            'landmarks': np.repeat(landmarks[None], len(images), axis=0),
            'presence': np.array(logits, dtype=np.float32)[:, None],
        }

    return answer


def some_landmarks(seed=0):
    return np.random.default_rng(seed).uniform(30, 160, (468, 3)).astype(np.float32)


def test_landmarks_come_back_into_image_pixels(scripted_engine):
    landmarks = some_landmarks()
    landmarks[0] = (96.0, 96.0, -10.0)  # the middle of the crop
    landmarks[1] = (192.0, 96.0, 0.0)  # the middle of its right edge
    mesh = FaceMesh(scripted_engine('face_mesh', constant_answer(landmarks, [3.0])))
    (result,) = mesh.run(IMAGE, [RotatedRoi(300.0, 200.0, 384.0, math.radians(90.0))])
    np.testing.assert_allclose(result.landmarks_px[0], (300, 200, -20), atol=1e-3)
    np.testing.assert_allclose(result.landmarks_px[1], (300, 392, 0), atol=1e-3)
    assert result.presence == pytest.approx(1 / (1 + math.exp(-3)))
    assert result.landmarks_px.dtype == np.float32


def test_all_regions_go_in_one_batch_and_come_back_in_order(scripted_engine):
    engine = scripted_engine('face_mesh', constant_answer(some_landmarks(), [5.0, -5.0, 0.0]))
    rois = [RotatedRoi(100.0 * i, 50.0, 100.0 + i, 0.1 * i) for i in range(1, 4)]
    results = FaceMesh(engine).run(IMAGE, rois)
    assert [len(batch) for batch in engine.images] == [3]
    assert [result.roi for result in results] == rois
    assert [round(result.presence, 4) for result in results] == [0.9933, 0.0067, 0.5]
    assert FaceMesh(engine).run(IMAGE, []) == []
    assert len(engine.images) == 1


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('where', ['landmark', 'depth', 'presence'])
def test_a_result_that_is_not_finite_is_none(scripted_engine, bad, where):
    landmarks, logit = some_landmarks(), 5.0
    if where == 'presence':
        logit = bad
    else:
        landmarks[77, 2 if where == 'depth' else 0] = bad
    mesh = FaceMesh(scripted_engine('face_mesh', constant_answer(landmarks, [logit])))
    assert mesh.run(IMAGE, [RotatedRoi(320.0, 240.0, 200.0)]) == [None]


def test_absurd_presence_logits_saturate(scripted_engine):
    engine = scripted_engine('face_mesh', constant_answer(some_landmarks(), [3e4, -3e4]))
    high, low = FaceMesh(engine).run(IMAGE, [RotatedRoi(320.0, 240.0, 200.0)] * 2)
    assert high.presence == 1.0
    assert 0.0 <= low.presence < 1e-40


def test_an_engine_that_gives_other_shapes_is_refused(scripted_engine):
    outputs = {
        'landmarks': np.zeros((1, 478, 3), dtype=np.float32),
        'presence': np.zeros((1, 1), dtype=np.float32),
    }
    mesh = FaceMesh(scripted_engine('face_mesh', lambda _: outputs))
    with pytest.raises(InferenceError, match=r'expected landmarks \[1, 468, 3\]'):
        mesh.run(IMAGE, [RotatedRoi(320.0, 240.0, 200.0)])


def test_roi_of_a_detection_is_one_and_a_half_times_its_longer_side_with_level_eyes():
    keypoints = np.zeros((6, 2), dtype=np.float32)
    keypoints[0], keypoints[1] = (100, 100), (140, 140)
    box = np.array((80, 90, 60, 100), dtype=np.float32)
    roi = roi_from_detection(Detection(box, 0.9, keypoints))
    assert (roi.cx, roi.cy, roi.size) == (110, 140, 150)
    assert roi.angle_rad == pytest.approx(math.radians(45))


def test_roi_of_landmarks_is_one_and_a_half_times_their_longer_side_with_level_eye_corners():
    landmarks = np.full((468, 3), (150.0, 120.0, 0.0), dtype=np.float32)
    landmarks[0], landmarks[1] = (100, 80, 0), (200, 160, 0)
    landmarks[33], landmarks[263] = (120, 120, 5), (180, 120, -5)
    roi = roi_from_landmarks(landmarks, landmark_box(landmarks))
    assert (roi.cx, roi.cy, roi.size, roi.angle_rad) == (150, 120, 150, 0)
    landmarks[33], landmarks[263] = (180, 120, 0), (120, 120, 0)  # upside down
    assert abs(roi_from_landmarks(landmarks, landmark_box(landmarks)).angle_rad) == pytest.approx(
        math.pi
    )


@pytest.mark.models
def test_landmarks_lie_on_the_astronauts_face(detection_engine, mesh_engine, astronaut):
    (detection,) = FaceDetector(detection_engine).detect(astronaut)
    (result,) = FaceMesh(mesh_engine).run(astronaut, [roi_from_detection(detection)])
    assert result.presence > 0.99
    eye_distance = np.linalg.norm(np.diff(detection.keypoints_px[:2], axis=0))
    distances = np.linalg.norm(
        keypoints_from_landmarks(result.landmarks_px) - detection.keypoints_px, axis=1
    )
    # Two networks that define the same six points slightly differently.
    assert distances.max() < 0.25 * eye_distance


@pytest.mark.models
@pytest.mark.parametrize('degrees', [-60.0, 35.0, 180.0])
def test_landmarks_turn_with_the_picture(mesh_engine, detection_engine, astronaut, degrees):
    (detection,) = FaceDetector(detection_engine).detect(astronaut)
    mesh = FaceMesh(mesh_engine)
    (upright,) = mesh.run(astronaut, [roi_from_detection(detection)])
    matrix = cv2.getRotationMatrix2D((225.0, 120.0), degrees, 1.0)
    matrix[:, 2] += (31.0, 136.0)
    turned_image = cv2.warpAffine(astronaut, matrix, (512, 512))
    expected = upright.landmarks_px[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    roi = roi_from_landmarks(expected, landmark_box(expected))
    (turned,) = mesh.run(turned_image, [roi])
    eye_distance = np.linalg.norm(expected[33] - expected[263])
    distances = np.linalg.norm(turned.landmarks_px[:, :2] - expected, axis=1)
    assert turned.presence > 0.99
    assert np.median(distances) < 0.03 * eye_distance


@pytest.mark.models
def test_where_there_is_no_face_presence_is_low(mesh_engine, astronaut):
    results = FaceMesh(mesh_engine).run(
        astronaut, [RotatedRoi(420.0, 420.0, 120.0), RotatedRoi(60.0, 60.0, 90.0, 1.0)]
    )
    assert all(result.presence < 0.5 for result in results)
