# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From images to head poses: how much the head is turned in them is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage import data

from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline
from aitable_ros.perception.head.head_pose import FACING_XYZW, HeadPoseEstimator, HeadPoseTracker
from aitable_ros.perception.maths import rotation
from aitable_ros.simulation import AstronautSequence

pytestmark = pytest.mark.models

MAX_ERROR_DEG = 3.0


@pytest.fixture(scope='module')
def pipeline(catalog, engines_dir):
    names = ('face_detection', 'face_mesh')
    engines = [load_engine(catalog[name], engines_dir=engines_dir).engine for name in names]
    yield FacePipeline(FaceDetector(engines[0]), FaceMesh(engines[1]))
    for engine in engines:
        engine.close()


@pytest.fixture(scope='module')
def pose_of(pipeline):
    def measure(picture):
        (face,) = pipeline.process_still(picture)
        return HeadPoseEstimator().estimate(face.landmarks_px, picture.shape[1::-1])

    return measure


@pytest.fixture(scope='module')
def picture():
    return np.ascontiguousarray(data.astronaut())


def degrees(pose):
    return np.degrees((pose.yaw_rad, pose.pitch_rad, pose.roll_rad))


def test_the_astronaut_looks_into_the_camera(pose_of, picture):
    pose = pose_of(picture)
    assert math.degrees(pose.turn_rad) < 3.0
    assert pose.error_ratio < 0.06
    assert not pose.calibrated


@pytest.mark.parametrize('clockwise_deg', [-40, -20, 20, 40])
def test_it_turns_with_the_picture(pose_of, picture, clockwise_deg):
    height, width = picture.shape[:2]
    middle = (0.5 * (width - 1), 0.5 * (height - 1))
    matrix = cv2.getRotationMatrix2D(middle, -clockwise_deg, 1.0)
    turned = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    # about the optical axis, which is where the assumed camera looks
    spin = rotation.from_rotation_vector((0.0, 0.0, math.radians(clockwise_deg)))
    expected_xyzw = rotation.product(spin, pose_of(picture).orientation_xyzw)
    facing = rotation.product(rotation.inverse(FACING_XYZW), expected_xyzw)
    expected_deg = np.degrees(rotation.to_yaw_pitch_roll(facing))
    assert degrees(pose_of(turned)) == pytest.approx(expected_deg, abs=MAX_ERROR_DEG)


def test_it_is_mirrored_with_the_picture(pose_of, picture):
    expected_deg = degrees(pose_of(picture)) * (-1, 1, -1)
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    assert degrees(pose_of(mirrored)) == pytest.approx(expected_deg, abs=MAX_ERROR_DEG)


def test_roll_follows_the_sample_in_every_frame_and_the_filter_calms_it(pipeline):
    sequence = AstronautSequence()
    tracker = HeadPoseTracker()
    raw, smooth, roll_deg = [], [], []
    for i in range(0, 300):
        (face,) = pipeline.process(sequence.frame(i), sequence.stamp_s(i))
        pose = tracker.update(sequence.stamp_s(i), face.landmarks_px, (640, 480))
        raw.append(degrees(tracker.raw))
        smooth.append(degrees(pose))
        # the sequence's roll is clockwise as seen: to the person's left shoulder
        roll_deg.append(-math.degrees(sequence.head(i).roll_rad))
    for poses, limit_deg in ((raw, 1.5), (smooth, MAX_ERROR_DEG)):
        error_deg = np.array(poses)[:, 2] - roll_deg
        error_deg -= np.median(error_deg)  # the head in the picture is tilted itself
        assert np.percentile(np.abs(error_deg), 95) < limit_deg
    # second differences are free of the motion
    jitter = [np.diff(poses, 2, axis=0).std(axis=0) for poses in (raw, smooth)]
    assert (jitter[1] < 0.6 * jitter[0]).all()
