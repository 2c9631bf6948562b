# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Head pose: synthetic faces at known poses, projected by known cameras, must come back.

The projections here are written out with matrices, independently of the module's own quaternions
and cameras.
"""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.canonical_face import EYE_SPAN_M, RIGID_POINTS_M, SELLION
from aitable_ros.perception.head.head_pose import (
    FACING_XYZW,
    HeadPoseEstimator,
    HeadPoseSettings,
    HeadPoseTracker,
)
from aitable_ros.perception.maths import rotation

SIZE = (640, 480)
K = (600.0, 0.0, 330.0, 0.0, 605.0, 235.0, 0.0, 0.0, 1.0)
PLAIN = CameraIntrinsics(*SIZE, K)
AHEAD = (0.0, 0.0, 0.6)

# In pixels, of the default field of view.
FOCAL = 320 / math.tan(math.radians(31.1))

ROWS = list(RIGID_POINTS_M)
FACE_M = np.array(list(RIGID_POINTS_M.values()))
NOSE_TIP, LEFT_CORNER, RIGHT_CORNER = 1, 263, 33

# Face axes of a face that looks against the viewing direction, as columns in the optical frame.
FACING = np.array(((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)))


def about(axis, degrees):
    """Right-handed rotation about axis 0, 1 or 2."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def turned(yaw, pitch, roll):
    return FACING @ about(2, yaw) @ about(1, pitch) @ about(0, roll)


def mesh(points_px):
    landmarks = np.full((468, 3), 7.0, dtype=np.float32)
    landmarks[ROWS, :2] = points_px
    return landmarks


def pinhole(points_m, k=K):
    fx, _, cx, _, fy, cy, *_ = k
    x, y, z = points_m.T
    return np.stack((fx * x / z + cx, fy * y / z + cy), axis=1)


def face(yaw=0.0, pitch=0.0, roll=0.0, at=AHEAD, k=K, scale=1.0):
    return mesh(pinhole(scale * FACE_M @ turned(yaw, pitch, roll).T + at, k))


def degrees(pose):
    return tuple(math.degrees(a) for a in (pose.yaw_rad, pose.pitch_rad, pose.roll_rad))


@pytest.fixture
def estimator():
    return HeadPoseEstimator()


@pytest.mark.parametrize('at', [AHEAD, (0.15, -0.1, 0.45), (-0.25, 0.12, 0.7), (0.3, 0.2, 1.5)])
def test_every_angle_comes_back(estimator, at):
    yaws, pitches, rolls = (-60, -30, 0, 30, 60), (-45, -20, 0, 20, 45), (-45, -15, 0, 15, 45)
    for yaw, pitch, roll in itertools.product(yaws, pitches, rolls):
        pose = estimator.estimate(face(yaw, pitch, roll, at), SIZE, PLAIN)
        assert degrees(pose) == pytest.approx((yaw, pitch, roll), abs=0.05)
        assert pose.position_m == pytest.approx(at, abs=1e-3 * at[2])
        np.testing.assert_allclose(
            rotation.to_matrix(pose.orientation_xyzw), turned(yaw, pitch, roll), atol=1e-3
        )
        assert pose.error_px < 0.01
        assert pose.calibrated


def test_the_face_frame_is_that_of_rep_155(estimator):
    """X out of the face, y to the person's left, z up, origin at the sellion."""
    assert RIGID_POINTS_M[SELLION] == (0.0, 0.0, 0.0)
    out, left, up = np.array(RIGID_POINTS_M[NOSE_TIP])
    assert out > 0.015
    assert left == 0.0
    assert up < -0.03
    assert RIGID_POINTS_M[LEFT_CORNER][1] > 0.0 > RIGID_POINTS_M[RIGHT_CORNER][1]
    pose = estimator.estimate(face(), SIZE, PLAIN)
    rows = np.array(rotation.to_matrix(pose.orientation_xyzw))
    np.testing.assert_allclose(rows[:, 0], (0, 0, -1), atol=1e-3)  # out: towards the camera
    np.testing.assert_allclose(rows[:, 1], (1, 0, 0), atol=1e-3)  # left: the image's right
    np.testing.assert_allclose(rows[:, 2], (0, -1, 0), atol=1e-3)  # up: the image's top
    assert pose.orientation_xyzw == pytest.approx(FACING_XYZW, abs=1e-3)


def test_the_model_is_symmetric_and_of_average_size():
    points = {tuple(np.round(p, 6)) for p in FACE_M.tolist()}
    assert all((x, -y if y else 0.0, z) in points for x, y, z in points)
    corners = {i: np.array(RIGID_POINTS_M[i]) for i in (33, 133, 362, 263)}
    eyes = (corners[33] + corners[133]) / 2 - (corners[362] + corners[263]) / 2
    assert np.linalg.norm(eyes) == pytest.approx(0.063, abs=0.0005)
    assert np.linalg.norm(corners[33] - corners[263]) == pytest.approx(EYE_SPAN_M, abs=1e-5)


def test_what_positive_angles_look_like():
    straight, left, bowed, tilted = (
        {i: landmarks[i, :2] for i in (NOSE_TIP, SELLION, LEFT_CORNER, RIGHT_CORNER)}
        for landmarks in (face(), face(yaw=25), face(pitch=25), face(roll=25))
    )
    # yaw: the nose goes to the person's left, the right of the image
    assert left[NOSE_TIP][0] > left[SELLION][0] + 5
    # pitch: it goes down, and the eye corners, behind the sellion, rise
    assert np.subtract(bowed[NOSE_TIP], straight[NOSE_TIP])[1] > 0
    assert bowed[RIGHT_CORNER][1] < straight[RIGHT_CORNER][1]
    # roll: to the person's right shoulder; the right eye, image left, sinks, the left one rises
    assert tilted[RIGHT_CORNER][1] > tilted[LEFT_CORNER][1] + 20


@pytest.mark.parametrize('at', [(0.3, 0.0, 0.6), (-0.2, 0.15, 0.6), (0.0, -0.25, 0.5), AHEAD])
def test_a_face_that_looks_into_the_camera_has_no_view_angles(estimator, at):
    """Wherever it is; yaw and pitch are by how much it had to turn to do so."""
    x, y, z = at
    yaw = math.degrees(math.atan2(-x, z))
    pitch = math.degrees(math.atan2(-y, math.hypot(x, z)))
    pose = estimator.estimate(face(yaw, pitch, 0, at), SIZE, PLAIN)
    assert pose.view_yaw_rad == pytest.approx(0.0, abs=1e-3)
    assert pose.view_pitch_rad == pytest.approx(0.0, abs=1e-3)
    assert degrees(pose)[:2] == pytest.approx((yaw, pitch), abs=0.05)
    assert pose.distance_m == pytest.approx(math.dist(at, (0, 0, 0)), rel=1e-3)


@pytest.mark.parametrize(('yaw', 'pitch'), [(-40, 0), (40, 0), (0, -30), (0, 30)])
def test_view_angles_have_the_signs_of_yaw_and_pitch(estimator, yaw, pitch):
    pose = estimator.estimate(face(yaw, pitch), SIZE, PLAIN)
    assert math.degrees(pose.view_yaw_rad) == pytest.approx(yaw, abs=0.05)
    assert math.degrees(pose.view_pitch_rad) == pytest.approx(pitch, abs=0.05)


def test_noise_of_a_pixel_costs_a_few_degrees_at_most(estimator):
    random = np.random.default_rng(3)
    errors = []
    for _ in range(200):
        truth = random.uniform((-40, -25, -30), (40, 25, 30))
        landmarks = face(*truth)
        landmarks[:, :2] += random.normal(0, 1.0, (468, 2))
        pose = estimator.estimate(landmarks, SIZE, PLAIN)
        difference = turned(*truth).T @ np.array(rotation.to_matrix(pose.orientation_xyzw))
        errors.append(math.degrees(math.acos(min(1.0, (np.trace(difference) - 1) / 2))))
        assert pose.error_px < 2.0
    assert np.median(errors) < 2.0
    assert max(errors) < 7.0


def test_refinement_never_makes_the_fit_worse():
    random = np.random.default_rng(4)
    plain = HeadPoseEstimator(HeadPoseSettings(refine_iterations=0))
    refined = HeadPoseEstimator(HeadPoseSettings(refine_iterations=5))
    better = 0
    for _ in range(50):
        landmarks = face(*random.uniform(-40, 40, 3), at=(0.1, 0.05, 0.4))
        landmarks[:, :2] += random.normal(0, 3.0, (468, 2))
        before = plain.estimate(landmarks, SIZE, PLAIN).error_px
        after = refined.estimate(landmarks, SIZE, PLAIN).error_px
        assert after <= before * 1.001
        better += after < before - 1e-4
    assert better > 40


def test_a_child_seems_farther_but_turned_alike(estimator):
    pose = estimator.estimate(face(20, 10, 5, scale=0.8), SIZE, PLAIN)
    assert degrees(pose) == pytest.approx((20, 10, 5), abs=0.05)
    assert pose.position_m[2] == pytest.approx(0.6 / 0.8, rel=1e-3)


class TestDefaultCamera:
    def test_it_has_the_default_field_of_view_and_says_so(self, estimator):
        k = (FOCAL, 0, 319.5, 0, FOCAL, 239.5, 0, 0, 1)
        pose = estimator.estimate(face(20, -10, 5, (0.1, 0.1, 0.8), k), SIZE)
        assert degrees(pose) == pytest.approx((20, -10, 5), abs=0.05)
        assert pose.position_m == pytest.approx((0.1, 0.1, 0.8), abs=1e-3)
        assert not pose.calibrated

    def test_it_spans_the_longer_side(self):
        estimator = HeadPoseEstimator(HeadPoseSettings(default_fov_rad=math.radians(90)))
        k = (320.0, 0, 239.5, 0, 320.0, 319.5, 0, 0, 1)
        pose = estimator.estimate(face(k=k), (480, 640))
        assert pose.position_m == pytest.approx(AHEAD, abs=1e-3)

    def test_a_wrong_field_of_view_spoils_the_distance_more_than_the_angles(self, estimator):
        for fov_deg in (50, 62.2, 75):
            focal = 320 / math.tan(math.radians(fov_deg / 2))
            k = (focal, 0, 319.5, 0, focal, 239.5, 0, 0, 1)
            pose = estimator.estimate(face(20, 10, 5, k=k), SIZE)
            assert degrees(pose) == pytest.approx((20, 10, 5), abs=6)
            assert pose.position_m[2] == pytest.approx(
                0.6 * 530.6 / focal * focal / focal, rel=0.2
            )


def distorted(points_m, k, d, fisheye):
    """Project as the lens models' papers have it."""
    x, y = (points_m[:, :2] / points_m[:, 2:]).T
    r = np.hypot(x, y)
    if fisheye:  # Kannala and Brandt 2006, as OpenCV's fisheye model
        theta = np.arctan(r)
        bent = theta * (1 + sum(c * theta ** (2 * i + 2) for i, c in enumerate(d)))
        x, y = x * bent / r, y * bent / r
    else:  # Brown 1966
        k1, k2, p1, p2, k3, k4, k5, k6 = (*d, 0, 0, 0, 0)[:8]
        radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
            y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
        )
    fx, _, cx, _, fy, cy, *_ = k
    return np.stack((fx * x + cx, fy * y + cy), axis=1)


class TestLens:
    @pytest.mark.parametrize(
        ('model', 'd', 'at'),
        [
            ('plumb_bob', (-0.35, 0.15, 0.001, -0.002, -0.03), (0.2, 0.12, 0.5)),
            ('plumb_bob', (0.25, -0.1, 0.0, 0.0), (0.2, 0.12, 0.5)),
            (
                'rational_polynomial',
                (0.5, -0.2, 0.0005, 0.001, 0.03, 0.9, -0.1, 0.02),
                (-0.2, -0.12, 0.5),
            ),
            ('equidistant', (-0.02, 0.01, -0.003, 0.0005), (0.5, 0.2, 0.5)),
            ('equidistant', (0.1, -0.05, 0.02, 0.0), (-0.4, -0.2, 0.5)),
        ],
    )
    def test_distortion_is_undone(self, estimator, model, d, at):
        points = FACE_M @ turned(25, 10, -20).T + at
        landmarks = mesh(distorted(points, K, d, model == 'equidistant'))
        pose = estimator.estimate(landmarks, SIZE, CameraIntrinsics(*SIZE, K, d, model))
        assert degrees(pose) == pytest.approx((25, 10, -20), abs=0.1)
        assert pose.position_m == pytest.approx(at, abs=2e-3)
        assert pose.error_px < 0.05
        # It matters: without it the pose is another one.
        plain = estimator.estimate(landmarks, SIZE, PLAIN)
        assert plain is None or plain.position_m != pytest.approx(at, abs=5e-3)

    def test_a_region_of_interest_and_binning(self, estimator):
        """Full image 1280 x 960, of which 800 x 600 at (300, 200) come in 2 x 2 bins."""
        k = (1200.0, 0.0, 650.0, 0.0, 1210.0, 470.0, 0.0, 0.0, 1.0)
        at = (0.05, 0.02, 0.6)
        full = pinhole(FACE_M @ turned(20, 10, 5).T + at, k)
        intrinsics = CameraIntrinsics(
            1280, 960, k, binning_xy=(2, 2), roi_xywh_px=(300, 200, 800, 600)
        )
        assert intrinsics.image_size_px == (400, 300)
        pose = estimator.estimate(mesh((full - (300, 200)) / 2), (400, 300), intrinsics)
        assert degrees(pose) == pytest.approx((20, 10, 5), abs=0.05)
        assert pose.position_m == pytest.approx(at, abs=1e-3)

    def test_a_resized_image_is_scaled(self, estimator):
        at = (0.1, 0.05, 0.6)
        pixels = pinhole(FACE_M @ turned(20, 10, 5).T + at)
        # Pixel centres are whole numbers: resizing keeps the corners at -0.5.
        pose = estimator.estimate(mesh((pixels + 0.5) / 2 - 0.5), (320, 240), PLAIN)
        assert degrees(pose) == pytest.approx((20, 10, 5), abs=0.05)
        assert pose.position_m == pytest.approx(at, abs=1e-4)

    @pytest.mark.parametrize('size', [(640, 360), (480, 640), (480, 480)])
    def test_an_image_of_another_shape_is_refused(self, estimator, size):
        with pytest.raises(ValueError, match=r'640 x 480 .* not a resized version'):
            estimator.estimate(face(), size, PLAIN)

    def test_the_camera_may_change_from_image_to_image(self, estimator):
        other = (300.0, 0.0, 165.0, 0.0, 302.5, 117.5, 0.0, 0.0, 1.0)
        for _ in range(2):
            for size, k in ((SIZE, K), ((320, 240), other)):
                pose = estimator.estimate(face(10, 5, 0, k=k), size, CameraIntrinsics(*size, k))
                assert pose.position_m == pytest.approx(AHEAD, abs=1e-3)
            assert not estimator.estimate(face(10, 5, 0), SIZE).calibrated


def camera_info(**fields):
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    defaults = {
        'width': 640,
        'height': 480,
        'k': np.array(K),
        'd': [0.1, 0.0, 0.0, 0.0, 0.0],
        'p': np.array((550.0, 0, 310, 0, 0, 560, 245, 0, 0, 0, 1, 0)),
        'distortion_model': 'plumb_bob',
        'binning_x': 0,
        'binning_y': 0,
        'roi': roi,
    }
    return SimpleNamespace(**{**defaults, **fields})


class TestCameraInfo:
    def test_it_is_read(self):
        intrinsics = CameraIntrinsics.from_camera_info(camera_info())
        assert intrinsics == CameraIntrinsics(
            640, 480, K, (0.1, 0, 0, 0, 0), 'plumb_bob', (0, 0), (0, 0, 0, 0)
        )
        assert intrinsics.image_size_px == SIZE
        assert intrinsics.distorted

    def test_of_rectified_images_p_counts(self):
        intrinsics = CameraIntrinsics.from_camera_info(camera_info(), rectified=True)
        assert intrinsics.k == (550, 0, 310, 0, 560, 245, 0, 0, 1)
        assert not intrinsics.distorted

    def test_k_of_zeros_is_no_calibration(self):
        assert CameraIntrinsics.from_camera_info(camera_info(k=np.zeros(9), d=[])) is None
        info = camera_info(p=np.zeros(12))
        assert CameraIntrinsics.from_camera_info(info, rectified=True) is None
        assert CameraIntrinsics.from_camera_info(info) is not None

    def test_no_distortion_needs_no_model(self):
        for d in ([], [0.0] * 5):
            info = camera_info(d=d, distortion_model='')
            assert not CameraIntrinsics.from_camera_info(info).distorted

    @pytest.mark.parametrize(
        ('fields', 'message'),
        [
            ({'width': 0}, 'no image size'),
            ({'k': [600.0] * 8}, '9 finite numbers'),
            ({'k': [math.nan] * 9}, '9 finite numbers'),
            ({'k': [-1.0, 0, 1, 0, 1, 1, 0, 0, 1]}, 'camera matrix K'),
            ({'k': [600.0, 1, 1, 0, 600, 1, 0, 0, 1]}, 'camera matrix K'),
            ({'d': [0.1, math.inf]}, 'not finite'),
            ({'d': [0.1, 0.2]}, 'plumb_bob: expected D of 4 or 5'),
            ({'distortion_model': 'thin_prism'}, "'thin_prism': expected one of plumb_bob"),
            ({'distortion_model': 'equidistant'}, 'equidistant: expected D of 4 coefficients'),
            (
                {'roi': SimpleNamespace(x_offset=600, y_offset=0, width=100, height=480)},
                'do not fit',
            ),
        ],
    )
    def test_what_is_no_lens_is_refused(self, fields, message):
        with pytest.raises(ValueError, match=message):
            CameraIntrinsics.from_camera_info(camera_info(**fields))


class TestNoPose:
    def test_of_points_that_are_no_numbers(self, estimator):
        for value in (math.nan, math.inf, -math.inf, 1e38):
            landmarks = face()
            landmarks[NOSE_TIP, 0] = value
            assert estimator.estimate(landmarks, SIZE, PLAIN) is None

    def test_other_landmarks_and_depth_do_not_matter(self, estimator):
        landmarks = face(10, 5, 3)
        other = landmarks.copy()
        other[:, 2] = math.nan
        other[152] = math.nan
        expected = estimator.estimate(landmarks, SIZE, PLAIN)
        assert estimator.estimate(other, SIZE, PLAIN) == expected
        assert estimator.estimate(landmarks[:, :2], SIZE, PLAIN) == expected
        irises = np.concatenate([landmarks, np.zeros((10, 3), np.float32)])
        assert estimator.estimate(irises, SIZE, PLAIN) == expected

    def test_of_collapsed_landmarks(self, estimator):
        assert estimator.estimate(np.full((468, 3), 200.0), SIZE, PLAIN) is None
        line = face()
        line[:, 1] = 240.0
        assert estimator.estimate(line, SIZE, PLAIN) is None

    @pytest.mark.parametrize('yaw', [-180, -130, 130])
    def test_of_a_face_seen_through_the_head(self, estimator, yaw):
        assert estimator.estimate(face(yaw), SIZE, PLAIN) is None

    def test_of_a_face_that_is_turned_too_far(self):
        for limit_deg, expected in ((51, True), (49, False)):
            estimator = HeadPoseEstimator(HeadPoseSettings(max_turn_rad=math.radians(limit_deg)))
            for angles in ((50, 0, 0), (0, -50, 0), (-50, 0, 30)):
                pose = estimator.estimate(face(*angles), SIZE, PLAIN)
                assert (pose is not None) is expected
                if pose:
                    assert math.degrees(pose.turn_rad) == pytest.approx(50, abs=0.05)

    def test_of_what_is_no_face(self, estimator):
        random = np.random.default_rng(9)
        for _ in range(100):
            noise = mesh(random.uniform((200, 100), (400, 300), (len(ROWS), 2)))
            assert estimator.estimate(noise, SIZE, PLAIN) is None

    def test_when_the_error_is_too_large(self):
        landmarks = face()
        landmarks[:, :2] += np.random.default_rng(1).normal(0, 3.0, (468, 2))
        pose = HeadPoseEstimator().estimate(landmarks, SIZE, PLAIN)
        span_px = 600 * EYE_SPAN_M / pose.position_m[2]
        assert pose.error_ratio == pytest.approx(pose.error_px / span_px, rel=0.01)
        for limit, expected in ((1.01, True), (0.99, False)):
            settings = HeadPoseSettings(max_error_ratio=pose.error_ratio * limit)
            found = HeadPoseEstimator(settings).estimate(landmarks, SIZE, PLAIN)
            assert (found is not None) is expected

    @pytest.mark.parametrize('shape', [(467, 3), (468, 4), (468,), (1, 468, 3)])
    def test_another_shape_is_refused(self, estimator, shape):
        with pytest.raises(ValueError, match='expected landmarks of shape'):
            estimator.estimate(np.zeros(shape), SIZE)

    def test_an_image_without_size_is_refused(self, estimator):
        for size in ((0, 480), (640, -1)):
            with pytest.raises(ValueError, match='size_px'):
                estimator.estimate(face(), size)


def noisy(random, **pose):
    landmarks = face(**pose)
    landmarks[:, :2] += random.normal(0, 0.7, (468, 2))
    return landmarks


class TestTracker:
    def test_a_still_head_is_stiller_than_what_is_measured(self):
        random = np.random.default_rng(6)
        tracker = HeadPoseTracker()
        raw, smooth = [], []
        for i in range(300):
            pose = tracker.update(i / 30, noisy(random, yaw=20, pitch=10, roll=-5), SIZE, PLAIN)
            raw.append((*degrees(tracker.raw), *tracker.raw.position_m))
            smooth.append((*degrees(pose), *pose.position_m))
            assert (pose.error_px, pose.calibrated) == (tracker.raw.error_px, True)
        assert (np.std(smooth[30:], axis=0) < 0.6 * np.std(raw[30:], axis=0)).all()
        assert np.mean(smooth, axis=0)[:3] == pytest.approx((20, 10, -5), abs=0.5)

    def test_a_dropping_head_is_followed(self):
        """By 25 degrees within 0.5 s, as in a nod."""
        tracker = HeadPoseTracker()
        behind = []
        for i in range(75):
            pitch = float(np.interp(i / 30, (1.0, 1.5), (0, 25)))
            pose = tracker.update(i / 30, face(pitch=pitch), SIZE, PLAIN)
            behind.append(pitch - math.degrees(pose.pitch_rad))
        assert max(behind) < 5.0
        assert behind[60] < 0.5

    def test_it_starts_anew_after_a_gap(self):
        tracker = HeadPoseTracker()
        for i in range(30):
            tracker.update(i / 30, face(yaw=-30), SIZE, PLAIN)
        pose = tracker.update(1.6, face(yaw=30), SIZE, PLAIN)
        assert degrees(pose)[0] == pytest.approx(30, abs=0.05)

    def test_a_short_loss_is_bridged(self):
        tracker = HeadPoseTracker()
        for i in range(30):
            tracker.update(i / 30, face(yaw=0), SIZE, PLAIN)
        for i in range(30, 34):
            assert tracker.update(i / 30, None, SIZE, PLAIN) is None
            assert tracker.raw is None
        assert 0.1 < degrees(tracker.update(34 / 30, face(yaw=4), SIZE, PLAIN))[0] < 3.9

    def test_it_starts_anew_when_time_goes_back(self):
        tracker = HeadPoseTracker()
        tracker.update(100.0, face(yaw=-30), SIZE, PLAIN)
        assert degrees(tracker.update(99.9, face(yaw=30), SIZE, PLAIN))[0] == pytest.approx(
            30, abs=0.1
        )

    def test_an_equal_stamp_gives_the_same_pose(self):
        tracker = HeadPoseTracker()
        tracker.update(0.0, face(yaw=0), SIZE, PLAIN)
        first = tracker.update(0.1, face(yaw=5), SIZE, PLAIN)
        again = tracker.update(0.1, face(yaw=50), SIZE, PLAIN)
        assert again.orientation_xyzw == first.orientation_xyzw
        assert again.position_m == first.position_m

    def test_it_starts_anew_with_another_camera(self):
        tracker = HeadPoseTracker()
        for i in range(10):
            assert not tracker.update(i / 30, face(), SIZE).calibrated
        pose = tracker.update(10 / 30, face(), SIZE, PLAIN)
        assert pose.calibrated
        assert pose.position_m == pytest.approx(AHEAD, abs=1e-3)
        assert pose.orientation_xyzw == pytest.approx(tracker.raw.orientation_xyzw)

    def test_a_stamp_must_be_a_time(self):
        with pytest.raises(ValueError, match='stamp_s'):
            HeadPoseTracker().update(math.nan, None, SIZE)
