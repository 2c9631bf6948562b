# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""BlazeFace: decoding, letterbox, hostile outputs, and real faces."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.images.roi import RotatedRoi

SCORE_73_LOGIT = 1.0  # sigmoid(1) = 0.731


def silence() -> dict[str, np.ndarray]:
    """Outputs without any face."""
    return {
        'boxes': np.zeros((1, 896, 16), dtype=np.float32),
        'scores': np.full((1, 896, 1), -50.0, dtype=np.float32),
    }


def with_box(outputs, anchor, logit, vector):
    outputs['scores'][0, anchor, 0] = logit
    outputs['boxes'][0, anchor] = vector
    return outputs


def vector(dx=0.0, dy=0.0, width=32.0, height=32.0):
    """A box relative to its anchor; the keypoints 1, 2, ... pixels right of the anchor."""
    keypoints = [[dx + i + 1, dy] for i in range(6)]
    return np.array([dx, dy, width, height, *np.ravel(keypoints)], dtype=np.float32)


IMAGE = np.zeros((480, 640, 3), dtype=np.uint8)


def test_a_box_is_decoded_into_image_pixels(scripted_engine):
    # Anchor 271 is the centre of column 7, row 8 of the 16x16 grid: (60, 68) of 128.
    outputs = with_box(silence(), 2 * (8 * 16 + 7), SCORE_73_LOGIT, vector(dx=4.0, dy=-4.0))
    detector = FaceDetector(scripted_engine('face_detection', lambda _: outputs))
    (face,) = detector.detect(IMAGE)
    # 640x480 is letterboxed: 5 image pixels per input pixel, 80 rows of border above.
    np.testing.assert_allclose(face.xywh_px, ((64 - 16) * 5, (64 - 16) * 5 - 80, 160, 160))
    np.testing.assert_allclose(face.keypoints_px[0], ((60 + 5) * 5, (68 - 4) * 5 - 80))
    np.testing.assert_allclose(np.diff(face.keypoints_px[:, 0]), 5.0)
    assert face.score == pytest.approx(0.7310586)
    assert face.xywh_px.dtype == face.keypoints_px.dtype == np.float32


def test_the_network_sees_the_letterboxed_image_with_a_black_border(scripted_engine):
    engine = scripted_engine('face_detection', lambda _: silence())
    FaceDetector(engine).detect(np.full((240, 320, 3), 9, dtype=np.uint8))
    (batch,) = engine.images
    assert batch.shape == (1, 128, 128, 3)
    assert not batch[0, :15].any()
    assert not batch[0, -15:].any()
    assert (batch[0, 17:111] == 9).all()


def test_overlapping_boxes_become_their_weighted_mean_with_the_best_score(scripted_engine):
    outputs = with_box(silence(), 200, 0.0, vector(width=32.0))
    outputs = with_box(outputs, 201, 2.0, vector(width=40.0, height=32.0))
    detector = FaceDetector(scripted_engine('face_detection', lambda _: outputs))
    (face,) = detector.detect(np.zeros((128, 128, 3), dtype=np.uint8))
    weight, best = 0.5, 1.0 / (1.0 + np.exp(-2.0))
    assert face.score == pytest.approx(best)
    assert face.xywh_px[2] == pytest.approx((weight * 32 + best * 40) / (weight + best))


def test_distant_faces_stay_apart_best_first(scripted_engine):
    outputs = with_box(silence(), 0, 1.0, vector())
    outputs = with_box(outputs, 500, 3.0, vector())
    outputs = with_box(outputs, 30, 2.0, vector())
    engine = scripted_engine('face_detection', lambda _: outputs)
    scores = [face.score for face in FaceDetector(engine).detect(IMAGE)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3


def test_min_score_is_a_probability(scripted_engine):
    outputs = with_box(silence(), 0, SCORE_73_LOGIT, vector())
    engine = scripted_engine('face_detection', lambda _: outputs)
    assert FaceDetector(engine, min_score=0.73).detect(IMAGE)
    assert not FaceDetector(engine, min_score=0.74).detect(IMAGE)
    assert not FaceDetector(engine, min_score=1.0).detect(IMAGE)
    assert FaceDetector(engine, min_score=0.0).detect(IMAGE)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_dropped_and_the_others_stay(scripted_engine, bad):
    outputs = with_box(silence(), 0, bad, vector())
    outputs = with_box(outputs, 100, 3.0, vector(width=bad))
    broken_keypoint = vector()
    broken_keypoint[15] = bad
    outputs = with_box(outputs, 400, 3.0, broken_keypoint)
    outputs = with_box(outputs, 700, 3.0, vector())
    detector = FaceDetector(scripted_engine('face_detection', lambda _: outputs))
    (face,) = detector.detect(IMAGE)
    assert np.isfinite(face.xywh_px).all()


def test_absurd_logits_and_sizes_neither_warn_nor_fail(scripted_engine):
    outputs = with_box(silence(), 0, 30680.0, vector())
    outputs = with_box(outputs, 100, 3.0, vector(width=-5.0))
    outputs = with_box(outputs, 101, 3.0, vector(height=0.0))
    outputs['scores'][0, 200:] = -30680.0
    detector = FaceDetector(scripted_engine('face_detection', lambda _: outputs), min_score=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        face = detector.detect(IMAGE)[0]
    assert face.score == 1.0


def test_an_engine_that_gives_other_shapes_is_refused(scripted_engine):
    outputs = silence()
    outputs['boxes'] = outputs['boxes'][:, :100]
    with pytest.raises(InferenceError, match=r'expected boxes \[1,896,16\]'):
        FaceDetector(scripted_engine('face_detection', lambda _: outputs)).detect(IMAGE)


@pytest.mark.parametrize('min_score', [-0.1, 1.1])
def test_a_score_out_of_range_is_refused(scripted_engine, min_score):
    with pytest.raises(ValueError, match='min_score'):
        FaceDetector(scripted_engine('face_detection', lambda _: silence()), min_score=min_score)


@pytest.mark.models
def test_the_astronauts_face_is_found(detection_engine, astronaut):
    (face,) = FaceDetector(detection_engine).detect(astronaut)
    assert face.score > 0.8
    right_eye, left_eye, nose, mouth = face.keypoints_px[:4]
    np.testing.assert_allclose(right_eye, (203, 103), atol=6)
    np.testing.assert_allclose(left_eye, (246, 106), atol=6)
    assert right_eye[1] < nose[1] < mouth[1]
    x, y, width, height = face.xywh_px
    assert x < right_eye[0] < left_eye[0] < x + width
    assert y < right_eye[1] < mouth[1] < y + height


@pytest.mark.models
@pytest.mark.parametrize('shape', [(480, 640), (1, 1), (1, 4000), (4000, 1), (40000, 2)])
def test_nobody_is_found_in_plain_images_of_any_shape(detection_engine, shape):
    for level in (0, 128, 255):
        image = np.full((*shape, 3), level, dtype=np.uint8)
        assert FaceDetector(detection_engine).detect(image) == []


@pytest.mark.models
def test_a_view_with_odd_strides_gives_the_same_as_its_copy(detection_engine, astronaut):
    view = astronaut[:, ::-1]
    (of_view,) = FaceDetector(detection_engine).detect(view)
    (of_copy,) = FaceDetector(detection_engine).detect(np.ascontiguousarray(view))
    np.testing.assert_array_equal(of_view.xywh_px, of_copy.xywh_px)


@pytest.mark.models
def test_in_a_turned_region_a_face_is_found_where_it_is(detection_engine, astronaut):
    (upright,) = FaceDetector(detection_engine).detect(astronaut)
    middle = upright.xywh_px[:2] + upright.xywh_px[2:] / 2
    roi = RotatedRoi(*middle.tolist(), 3.0 * float(upright.xywh_px[2]), math.radians(20))
    (turned,) = FaceDetector(detection_engine).detect(astronaut, roi)
    at = turned.xywh_px[:2] + turned.xywh_px[2:] / 2
    assert math.dist(at, middle) < 0.1 * upright.xywh_px[2]
    assert turned.xywh_px[2] == pytest.approx(upright.xywh_px[2], rel=0.15)
    off = np.linalg.norm(turned.keypoints_px[:4] - upright.keypoints_px[:4], axis=1)
    assert off.max() < 0.1 * upright.xywh_px[2]


def test_another_network_is_no_detector_of_faces(scripted_engine):
    with pytest.raises(InferenceError, match='expected one of face_detection, '):
        FaceDetector(scripted_engine('face_mesh', lambda _: {}))


@pytest.mark.parametrize(
    ('name', 'side', 'anchor', 'centre'),
    [
        # row 8, column 7 of the 16 x 16 grid; row 20, column 30 of the 48 x 48 one
        ('face_detection', 128, 2 * (8 * 16 + 7), (60, 68)),
        ('face_detection_back', 256, 2 * (8 * 16 + 7), (120, 136)),
        ('face_detection_full', 192, 20 * 48 + 30, (122, 82)),
    ],
)
def test_each_network_has_anchors_of_its_own(scripted_engine, name, side, anchor, centre):
    count = {'face_detection_full': 2304}.get(name, 896)
    outputs = {
        'boxes': np.zeros((1, count, 16), dtype=np.float32),
        'scores': np.full((1, count, 1), -50.0, dtype=np.float32),
    }
    with_box(outputs, anchor, SCORE_73_LOGIT, vector(width=20.0, height=20.0))
    (face,) = FaceDetector(scripted_engine(name, lambda _: outputs)).detect(
        np.zeros((side, side, 3), np.uint8)
    )
    np.testing.assert_allclose(face.xywh_px[:2] + face.xywh_px[2:] / 2, centre)
