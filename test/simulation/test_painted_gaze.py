# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Gaze through the real networks, of eyes that are painted to look by known angles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.attention.gaze import GazeState, GazeTracker
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.face_views import FaceViews
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline
from aitable_ros.perception.head.head_pose import HeadPoseEstimator
from aitable_ros.simulation.painted_gaze import painted_gaze

pytestmark = pytest.mark.models

MAGNIFICATION = 2
"""Eyes are 37 pixels wide then."""


@pytest.fixture(scope='module')
def pipeline(catalog: dict[str, ModelSpec], engines_dir: Path) -> Iterator[FacePipeline]:
    with (
        load_engine(catalog['face_detection'], engines_dir=engines_dir).engine as detection,
        load_engine(catalog['face_attention'], engines_dir=engines_dir).engine as mesh,
    ):
        yield FacePipeline(FaceDetector(detection), FaceMesh(mesh))


def test_painted_eyes_within_4_degrees_median_and_8_at_p95(pipeline: FacePipeline) -> None:
    """
    Relative to where she looks in the picture; of a person who has been seen for half a minute.

    Her head is straight, and the lids stay as they are: real ones follow large pitches.
    """
    tracker, estimator, picture, clock = (
        GazeTracker(),
        HeadPoseEstimator(),
        data.astronaut(),
        [0.0],
    )

    def look(yaw: float, pitch: float, seconds: float):
        image = painted_gaze(picture, math.radians(yaw), math.radians(pitch), MAGNIFICATION)
        (face,) = pipeline.process_still(image)
        pose = estimator.estimate(face.landmarks_px, image.shape[1::-1])
        for _ in range(round(15 * seconds)):
            clock[0] += 1 / 15
            gaze = tracker.update(clock[0], face.landmarks_px, pose, FaceViews())
        assert gaze.state is GazeState.MEASURED
        return np.degrees((gaze.yaw_rad, gaze.pitch_rad))

    ahead = look(0, 0, 30.0)
    errors = []
    for yaw in (-25, -20, -15, -10, -5, 5, 10, 15, 20, 25):
        for pitch in (-5, 0, 5):
            errors.append(np.linalg.norm(look(yaw, pitch, 1.0) - ahead - (yaw, pitch)))
            look(0, 0, 1.0)
    assert np.median(errors) < 4.0
    assert np.percentile(errors, 95) < 8.0
    print(f'median {np.median(errors):.1f}, p95 {np.percentile(errors, 95):.1f} degrees')
