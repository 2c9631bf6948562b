# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""BlazePose: decoding, regions, heatmap, world axes, following one person, and a real one."""

from __future__ import annotations

import math
import warnings

import cv2
import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.ssd import anchor_centres
from aitable_ros.perception.posture.blazepose import (
    BodyDetector,
    BodyLandmarker,
    refine_from_heatmap,
    roi_from_alignment,
)
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint
from aitable_ros.perception.posture.body_pipeline import BodyPipeline, RegionFollower

IMAGE = np.zeros((480, 640, 3), dtype=np.uint8)
ANCHORS = anchor_centres(BodyDetector.grids)


def silence():
    """Detector outputs without anybody."""
    return {
        'boxes': np.zeros((1, 2254, 12), dtype=np.float32),
        'scores': np.full((1, 2254, 1), -50.0, dtype=np.float32),
    }


def with_person(outputs, anchor, logit, hips, scale=1.0):
    """
    Add a person whose hips are here, in pixels of the 224 x 224 input.

    Upright; the shoulders 40 above the hips, and the circles' radii 80 and 56, all times scale.
    """
    x, y = hips
    points = ((x, y), (x, y - 80 * scale), (x, y - 40 * scale), (x, y - 96 * scale))
    at = ANCHORS[anchor] * 224
    box = (x - at[0], y - 60 * scale - at[1], 20 * scale, 20 * scale)
    outputs['scores'][0, anchor, 0] = logit
    outputs['boxes'][0, anchor] = np.concatenate((box, np.ravel(np.subtract(points, at))))
    return outputs


def landmark_outputs(presence=0.9, visibility=4.0):
    """Landmark outputs: shoulders left and right of the middle, hips in it, flat heatmap."""
    landmarks = np.full((39, 5), 128.0, dtype=np.float32)
    landmarks[:, 2] = 0.0
    landmarks[:, 3:] = visibility
    landmarks[BodyKeypoint.LEFT_SHOULDER, :2] = (148, 128 - 51.2)
    landmarks[BodyKeypoint.RIGHT_SHOULDER, :2] = (108, 128 - 51.2)
    landmarks[34, :2] = (128.0, 128.0 - 102.4)
    return {
        'landmarks': landmarks[None],
        'presence': np.array([[presence]], dtype=np.float32),
        'heatmap': np.full((1, 64, 64, 39), -20.0, dtype=np.float32),
        'world': np.zeros((1, 39, 3), dtype=np.float32),
    }


def test_a_detection_is_decoded_into_image_pixels(scripted_engine):
    outputs = with_person(silence(), 1000, 1.0, (112.0, 150.0))
    engine = scripted_engine('pose_detection', lambda _: outputs)
    (person,) = BodyDetector(engine).detect(IMAGE)
    # 640x480 is letterboxed: 640/224 image pixels per input pixel, 80 rows of border above.
    scale = 640 / 224
    np.testing.assert_allclose(person.keypoints_px[0], (112 * scale, 150 * scale - 80), rtol=1e-5)
    np.testing.assert_allclose(person.keypoints_px[1], (112 * scale, 70 * scale - 80), rtol=1e-5)
    box = ((112 - 10) * scale, (90 - 10) * scale - 80, 20 * scale, 20 * scale)
    np.testing.assert_allclose(person.xywh_px, box, rtol=1e-5)
    assert person.score == pytest.approx(0.7310586)
    (batch,) = engine.images
    assert batch.shape == (1, 224, 224, 3)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_detections_that_are_not_finite_are_dropped(scripted_engine, bad):
    outputs = with_person(silence(), 10, bad, (100.0, 100.0))
    outputs = with_person(outputs, 900, 3.0, (bad, 100.0))
    outputs = with_person(outputs, 2000, 3.0, (112.0, 150.0))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = BodyDetector(scripted_engine('pose_detection', lambda _: outputs)).detect(IMAGE)
    assert len(found) <= 1 + (bad == np.inf)
    assert all(np.isfinite(person.keypoints_px).all() for person in found)


@pytest.mark.parametrize(
    ('on_circle', 'degrees'),
    [((0, -50), 0), ((50, 0), 90), ((-50, 0), -90), ((0, 50), 180), ((35, -35), 45)],
)
def test_the_region_is_turned_so_that_the_body_is_upright(on_circle, degrees):
    points = np.array([(300, 200), (300 + on_circle[0], 200 + on_circle[1])], dtype=np.float32)
    roi = roi_from_alignment(points)
    assert (roi.cx, roi.cy) == (300, 200)
    assert roi.size == pytest.approx(2 * 1.25 * math.hypot(*on_circle))
    assert math.degrees(roi.angle_rad) == pytest.approx(degrees)
    # The point on the circle comes to lie above the crop's middle.
    back = np.linalg.inv(np.vstack((roi.to_image(256), (0, 0, 1))))
    np.testing.assert_allclose(back @ (*points[1], 1), (128, 128 - 102.4, 1), atol=1e-3)


def test_no_region_without_a_circle():
    assert roi_from_alignment(np.array([(3, 4), (3, 4)])) is None
    assert roi_from_alignment(np.array([(3, 4), (3, np.nan)])) is None


def test_landmarks_come_back_into_image_pixels(scripted_engine):
    outputs = landmark_outputs()
    outputs['landmarks'][0, 0, :2] = (256.0, 128.0)  # the middle of the crop's right edge
    landmarker = BodyLandmarker(scripted_engine('pose_landmark', lambda _: outputs))
    roi = RotatedRoi(300.0, 200.0, 320.0, math.radians(90.0))
    person = landmarker.run(IMAGE, roi)
    np.testing.assert_allclose(person.keypoints.xy_px[BodyKeypoint.NOSE], (300, 360), atol=1e-3)
    np.testing.assert_allclose(person.keypoints.xy_px[BodyKeypoint.LEFT_HIP], (300, 200))
    np.testing.assert_allclose(person.alignment_px, [(300, 200), (300 + 128, 200)], atol=1e-3)
    assert person.keypoints.score == pytest.approx(0.9)
    assert person.roi is roi


def test_world_landmarks_are_turned_back_with_the_region(scripted_engine):
    outputs = landmark_outputs()
    outputs['world'][0, 0] = (0.0, -0.5, -0.2)  # above and in front of the hips, in the crop
    outputs['world'][0, 11] = (0.2, -0.4, 0.1)
    landmarker = BodyLandmarker(scripted_engine('pose_landmark', lambda _: outputs))
    # A body that leans to the right of the image, by 30 degrees.
    person = landmarker.run(IMAGE, RotatedRoi(300.0, 200.0, 320.0, math.radians(30.0)))
    nose, shoulder = person.keypoints.world_m[[0, 11]]
    np.testing.assert_allclose(nose, (0.25, -0.5 * math.sqrt(0.75), -0.2), atol=1e-6)
    assert np.linalg.norm(shoulder) == pytest.approx(np.linalg.norm((0.2, -0.4, 0.1)))
    assert person.keypoints.world_m.dtype == np.float32


def test_visibility_is_the_lower_of_visible_and_present_and_nothing_outside(scripted_engine):
    outputs = landmark_outputs()
    landmarks = outputs['landmarks'][0]
    landmarks[0, 3:] = (2.0, 5.0)
    landmarks[1, 3:] = (5.0, -1.0)
    landmarks[2, :2] = (-1.0, 128.0)
    landmarks[3, 3:] = (9e9, 9e9)
    landmarker = BodyLandmarker(scripted_engine('pose_landmark', lambda _: outputs))
    image = np.zeros((256, 256, 3), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        seen = landmarker.run(image, RotatedRoi(128.0, 128.0, 256.0)).keypoints.visibility
    np.testing.assert_allclose(
        seen[:4], (1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1)), 0.0, 1.0), rtol=1e-6
    )


def reference_refinement(xy_px, heatmap):
    """MediaPipe's loop, word for word, with its rounding."""
    result = xy_px.copy()
    for i, (x, y) in enumerate(xy_px / 256.0):
        column, row = int(x * 64), int(y * 64)
        if not (0 <= column < 64 and 0 <= row < 64):
            continue
        total, best, moments = 0.0, 0.0, np.zeros(2)
        for r in range(max(0, row - 4), min(64, row + 5)):
            for c in range(max(0, column - 4), min(64, column + 5)):
                weight = 1.0 / (1.0 + math.exp(-heatmap[r, c, i]))
                total += weight
                best = max(best, weight)
                moments += weight * np.array((c, r))
        if best >= 0.5:
            result[i] = moments / total / 64 * 256
    return result


def test_the_heatmap_is_read_as_mediapipe_reads_it_also_at_the_edges():
    rng = np.random.default_rng(3)
    for _ in range(20):
        xy = rng.uniform(-10, 266, (39, 2))
        heatmap = rng.normal(-3.0, 1.5, (64, 64, 39)).astype(np.float32)
        np.testing.assert_allclose(
            refine_from_heatmap(xy, heatmap), reference_refinement(xy, heatmap), atol=1e-9
        )


@pytest.mark.parametrize('name', ['landmarks', 'presence', 'heatmap', 'world'])
def test_outputs_that_are_not_finite_are_nobody(scripted_engine, name):
    for bad in (np.nan, np.inf, -np.inf):
        outputs = landmark_outputs()
        outputs[name].flat[-1] = bad
        landmarker = BodyLandmarker(scripted_engine('pose_landmark', lambda _, o=outputs: o))
        assert landmarker.run(IMAGE, RotatedRoi(300.0, 200.0, 320.0)) is None


def test_absurd_coordinates_neither_warn_nor_fail(scripted_engine):
    outputs = landmark_outputs()
    outputs['landmarks'][0, 5, :2] = 3e38
    landmarker = BodyLandmarker(scripted_engine('pose_landmark', lambda _: outputs))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        person = landmarker.run(IMAGE, RotatedRoi(300.0, 200.0, 3200.0))
    assert person is None or np.isfinite(person.keypoints.xy_px).all()


def test_outputs_of_another_shape_are_an_error(scripted_engine):
    outputs = landmark_outputs()
    outputs['world'] = np.zeros((1, 33, 3), dtype=np.float32)
    landmarker = BodyLandmarker(scripted_engine('pose_landmark', lambda _: outputs))
    with pytest.raises(InferenceError, match='expected world'):
        landmarker.run(IMAGE, RotatedRoi(300.0, 200.0, 320.0))
    broken = {'boxes': np.zeros((1, 896, 16)), 'scores': np.zeros((1, 896, 1))}
    detector = BodyDetector(scripted_engine('pose_detection', lambda _: broken))
    with pytest.raises(InferenceError, match='expected boxes'):
        detector.detect(IMAGE)


class Scene:
    """
    Detector and landmark network that know where people are, in pixels of a 640x480 image.

    The landmark network finds the hips of the person nearest to its region, and turns its back on
    a region that holds nobody.
    """

    def __init__(self, make_engine) -> None:
        self.people: list[tuple[float, float, float]] = []
        self.hidden: set[int] = set()
        self.presence: dict[int, float] = {}
        self.regions: list[RotatedRoi] = []
        self.detections = 0
        self.detector = BodyDetector(make_engine('pose_detection', self._detect))
        self.landmarker = BodyLandmarker(make_engine('pose_landmark', lambda _: self._answer))
        self._run = self.landmarker.run
        self.landmarker.run = self._look  # type: ignore[method-assign]

    def _detect(self, _):
        self.detections += 1
        outputs = silence()
        for i, (x, y, scale) in enumerate(self.people):
            if i not in self.hidden:
                hips = (x * 224 / 640, (y + 80) * 224 / 640)
                with_person(outputs, 100 + 300 * i, 2.0, hips, scale * 224 / 640)
        return outputs

    def _look(self, image, roi):
        self.regions.append(roi)
        distances = [math.hypot(x - roi.cx, y - roi.cy) for x, y, _ in self.people]
        nearest = int(np.argmin(distances)) if distances else -1
        self._answer = landmark_outputs(presence=0.05)
        if distances and distances[nearest] < 0.25 * roi.size:
            x, y, scale = self.people[nearest]
            self._answer = landmark_outputs(presence=self.presence.get(nearest, 0.9))
            landmarks = self._answer['landmarks'][0]
            middle = landmarks[:, :2] - 128.0
            landmarks[:, :2] = 128.0 + middle * (200.0 * scale / roi.size)
            landmarks[:, :2] += np.array((x - roi.cx, y - roi.cy)) * (256.0 / roi.size)
        return self._run(image, roi)


@pytest.fixture
def scene(scripted_engine):
    return Scene(scripted_engine)


@pytest.fixture
def pipeline(scene):
    return BodyPipeline(scene.detector, scene.landmarker)


def hip_x(body) -> float:
    return float(body.xy_px[BodyKeypoint.LEFT_HIP, 0])


def test_an_empty_table_is_nobody_and_the_detector_goes_on_looking(scene, pipeline):
    for i in range(4):
        assert pipeline.process(IMAGE, i / 10) is None
    assert scene.detections == 4
    assert scene.regions == []


def test_a_person_is_followed_without_the_detector(scene, pipeline):
    for i in range(15):
        scene.people = [(200.0 + 8 * i, 240.0, 1.0)]
        assert hip_x(pipeline.process(IMAGE, i / 10)) == pytest.approx(200 + 8 * i, abs=0.1)
    assert scene.detections == 1
    assert len(scene.regions) == 15
    # The region runs a little behind the motion, and not more.
    assert 200 + 8 * 13 - 8 < scene.regions[-1].cx <= 200 + 8 * 13


def test_the_detector_is_asked_again_when_the_person_is_lost(scene, pipeline):
    scene.people = [(200.0, 240.0, 1.0)]
    assert pipeline.process(IMAGE, 0.0) is not None
    scene.people = [(500.0, 240.0, 1.0)]
    assert hip_x(pipeline.process(IMAGE, 0.1)) == pytest.approx(500, abs=0.1)
    assert scene.detections == 2
    pipeline.process(IMAGE, 0.15)
    assert scene.regions[-1].cx == pytest.approx(500, abs=0.1)  # smoothing began anew
    scene.people = []
    assert pipeline.process(IMAGE, 0.2) is None
    assert scene.detections == 3


def test_low_presence_is_nobody(scene, scripted_engine):
    scene.people = [(200.0, 240.0, 1.0)]
    scene.presence = {0: 0.45}
    assert BodyPipeline(scene.detector, scene.landmarker).process(IMAGE, 0.0) is None
    scene.presence = {0: 0.55}
    assert BodyPipeline(scene.detector, scene.landmarker).process(IMAGE, 0.0) is not None


def test_the_largest_person_is_the_one_at_the_table(scene, pipeline):
    scene.people = [(150.0, 240.0, 0.6), (450.0, 240.0, 1.0), (300.0, 100.0, 0.4)]
    assert hip_x(pipeline.process(IMAGE, 0.0)) == pytest.approx(450, abs=0.1)
    assert hip_x(pipeline.process_still(IMAGE)) == pytest.approx(450, abs=0.1)


def test_a_coat_on_a_chair_does_not_hide_the_person_behind_it(scene, pipeline):
    scene.people = [(150.0, 240.0, 0.8), (450.0, 240.0, 1.0)]
    scene.presence = {1: 0.2}
    assert hip_x(pipeline.process(IMAGE, 0.0)) == pytest.approx(150, abs=0.1)


def walk(pipeline, seconds, start_s=0.0):
    """Run the pipeline at 10 Hz; return the last result."""
    body = None
    for i in range(round(seconds * 10)):
        body = pipeline.process(IMAGE, start_s + i / 10)
    return body


def test_somebody_of_about_the_same_size_does_not_take_the_place(scene, pipeline):
    scene.people = [(150.0, 240.0, 0.8)]
    walk(pipeline, 1.0)
    scene.people.append((450.0, 240.0, 1.1))
    assert hip_x(walk(pipeline, 10.0, 1.0)) == pytest.approx(150, abs=0.1)


def test_somebody_much_nearer_takes_the_place_at_the_next_look(scene, pipeline):
    scene.people = [(150.0, 240.0, 0.6)]
    walk(pipeline, 1.0)
    scene.people.append((450.0, 240.0, 1.0))
    assert hip_x(walk(pipeline, 0.9, 1.0)) == pytest.approx(150, abs=0.1)
    assert hip_x(walk(pipeline, 0.5, 1.9)) == pytest.approx(450, abs=0.1)


def test_who_looks_away_is_not_given_up_for_somebody_else_at_once(scene, pipeline):
    scene.people = [(150.0, 240.0, 1.0), (450.0, 240.0, 0.8)]
    walk(pipeline, 1.0)
    scene.hidden = {0}
    assert hip_x(walk(pipeline, 3.5, 1.0)) == pytest.approx(150, abs=0.1)
    assert hip_x(walk(pipeline, 4.0, 4.5)) == pytest.approx(450, abs=0.1)


def test_who_looks_away_alone_is_never_given_up(scene, pipeline):
    scene.people = [(150.0, 240.0, 1.0)]
    walk(pipeline, 1.0)
    scene.hidden = {0}
    assert hip_x(walk(pipeline, 20.0, 1.0)) == pytest.approx(150, abs=0.1)


def test_after_a_gap_the_person_must_be_confirmed(scene, pipeline):
    scene.people = [(150.0, 240.0, 1.0), (450.0, 240.0, 0.8)]
    walk(pipeline, 1.0)
    scene.hidden = {0}
    assert hip_x(pipeline.process(IMAGE, 1.7)) == pytest.approx(450, abs=0.1)


def test_another_size_an_earlier_stamp_or_a_reset_begin_anew(scene, pipeline):
    scene.people = [(200.0, 240.0, 1.0)]
    pipeline.process(IMAGE, 5.0)
    assert scene.detections == 1
    pipeline.process(IMAGE, 1.0)
    assert scene.detections == 2
    pipeline.process(np.zeros((400, 640, 3), dtype=np.uint8), 1.1)
    assert scene.detections == 3
    pipeline.process(np.zeros((400, 640, 3), dtype=np.uint8), 1.2)
    assert scene.detections == 3
    pipeline.reset()
    pipeline.process(np.zeros((400, 640, 3), dtype=np.uint8), 1.3)
    assert scene.detections == 4


def test_stills_leave_the_stream_alone(scene, pipeline):
    scene.people = [(200.0, 240.0, 1.0)]
    pipeline.process(IMAGE, 0.0)
    before = pipeline._roi
    pipeline.process_still(np.zeros((64, 64, 3), dtype=np.uint8))
    assert pipeline._roi == before
    pipeline.process(IMAGE, 0.1)
    assert scene.detections == 2  # that of the still


def test_the_region_holds_still_and_follows_motion():
    follower = RegionFollower()
    rng = np.random.default_rng(1)
    points = np.array([(300.0, 300.0), (300.0, 100.0)])
    rests = [follower.update(points + rng.normal(0, 2, (2, 2)), i / 30) for i in range(200)]
    assert np.std([roi.cx for roi in rests[50:]]) < 0.5
    follower.reset()
    for i in range(90):
        roi = follower.update(points + np.array((200.0 * i / 30, 0.0)), i / 30)
    # Behind by 1.6 % of the circle's diameter of 400, however fast.
    assert 300 + 200 * 89 / 30 - roi.cx == pytest.approx(400 / (2 * math.pi * 10), rel=0.1)
    assert follower.update(np.array([(5.0, 5.0), (5.0, 5.0)]), 4.0) is None


@pytest.mark.parametrize('stamp_s', [math.nan, math.inf])
def test_stamps_and_images_that_are_none_are_refused(pipeline, stamp_s):
    with pytest.raises(ValueError, match='stamp_s'):
        pipeline.process(IMAGE, stamp_s)
    with pytest.raises(ValueError, match='expected an image'):
        pipeline.process(np.zeros((4, 4), dtype=np.uint8), 0.0)
    with pytest.raises(ValueError, match='expected an image'):
        pipeline.process_still(np.zeros((4, 4, 3), dtype=np.float32))


@pytest.fixture(scope='session')
def real_pipeline(catalog, engines_dir):
    names = ('pose_detection', 'pose_landmark')
    engines = [load_engine(catalog[name], engines_dir=engines_dir).engine for name in names]
    yield BodyPipeline(BodyDetector(engines[0]), BodyLandmarker(engines[1]))
    for engine in engines:
        engine.close()


ASTRONAUT_PX = {
    # From MediaPipe's own Pose of 0.10.21 (static_image_mode, model_complexity 1) on the picture.
    BodyKeypoint.NOSE: (222.7, 128.0),
    BodyKeypoint.LEFT_EYE: (248.9, 112.5),
    BodyKeypoint.RIGHT_EYE: (204.9, 103.4),
    BodyKeypoint.LEFT_EAR: (268.0, 122.8),
    BodyKeypoint.RIGHT_EAR: (190.4, 107.4),
    BodyKeypoint.LEFT_SHOULDER: (306.3, 256.7),
    BodyKeypoint.RIGHT_SHOULDER: (112.7, 239.9),
}


@pytest.mark.models
def test_a_real_person_as_mediapipe_sees_her(real_pipeline, astronaut):
    body = real_pipeline.process_still(astronaut)
    assert body.score > 0.9
    for keypoint, xy in ASTRONAUT_PX.items():
        assert body.xy_px[keypoint] == pytest.approx(xy, abs=1.0), keypoint.name
        assert body.visibility[keypoint] > 0.9
    assert body.visibility[BodyKeypoint.LEFT_ANKLE] == 0.0  # below the picture
    world = body.world_m
    # Her left is at the image's right; the head is above the hips, the nose before the ears.
    assert world[BodyKeypoint.LEFT_SHOULDER, 0] > world[BodyKeypoint.RIGHT_SHOULDER, 0]
    assert world[BodyKeypoint.NOSE, 1] < -0.4
    assert world[BodyKeypoint.NOSE, 2] < world[BodyKeypoint.LEFT_EAR, 2]


@pytest.mark.models
def test_she_is_followed_while_she_moves(real_pipeline, place_astronaut):
    real_pipeline.reset()
    detect, calls = real_pipeline.detector.detect, []
    real_pipeline.detector.detect = lambda image: calls.append(1) or detect(image)
    try:
        for i in range(10):
            x = 240.0 + 12.0 * i
            body = real_pipeline.process(place_astronaut(x, 150.0, 0.9), i / 10)
            nose = body.xy_px[BodyKeypoint.NOSE]
            assert nose == pytest.approx((x - 2.5 * 0.9, 150 + 8 * 0.9), abs=8.0)
    finally:
        del real_pipeline.detector.detect
    assert len(calls) == 1


@pytest.mark.models
def test_nobody_is_seen_in_a_plain_picture(real_pipeline):
    real_pipeline.reset()
    for i, value in enumerate((0, 127, 255)):
        image = np.full((480, 640, 3), value, dtype=np.uint8)
        assert real_pipeline.process(image, i / 10) is None


@pytest.mark.models
def test_a_read_only_or_strided_image_gives_the_same(real_pipeline, astronaut):
    expected = real_pipeline.process_still(astronaut).xy_px
    wide = np.zeros((512, 1024, 3), dtype=np.uint8)
    wide[:, ::2] = astronaut
    np.testing.assert_array_equal(real_pipeline.process_still(wide[:, ::2]).xy_px, expected)
    mirrored = real_pipeline.process_still(cv2.flip(astronaut, 1)).xy_px
    assert mirrored[BodyKeypoint.RIGHT_SHOULDER, 0] < mirrored[BodyKeypoint.LEFT_SHOULDER, 0]
