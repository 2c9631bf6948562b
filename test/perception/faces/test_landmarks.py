# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The index sets of FaceMesh: consistent with each other, and with a real face."""

from __future__ import annotations

import numpy as np
import pytest

from aitable_ros.perception.faces import landmarks as fl
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.mesh import FaceMesh, roi_from_detection

RINGS = (
    fl.RIGHT_EYE_RING,
    fl.LEFT_EYE_RING,
    fl.LIPS_OUTER_RING,
    fl.LIPS_INNER_RING,
    fl.NOSE_WINGS_RING,
    fl.FACE_OVAL_RING,
)
LINES = (
    fl.RIGHT_BROW_UPPER,
    fl.RIGHT_BROW_LOWER,
    fl.LEFT_BROW_UPPER,
    fl.LEFT_BROW_LOWER,
    fl.NOSE_BRIDGE,
)


@pytest.fixture(scope='module')
def face(detection_engine, mesh_engine, astronaut):
    """x, y of a real face that looks at the camera, upright."""
    (detection,) = FaceDetector(detection_engine).detect(astronaut)
    (result,) = FaceMesh(mesh_engine).run(astronaut, [roi_from_detection(detection)])
    return result.landmarks_px[:, :2]


def test_every_set_has_distinct_landmarks_that_exist():
    for points in RINGS + LINES:
        assert len(set(points)) == len(points)
        assert all(0 <= point < fl.LANDMARKS for point in points)


def test_the_ear_points_are_on_the_lids_of_their_eye():
    for ear, ring in (
        (fl.RIGHT_EYE_EAR, fl.RIGHT_EYE_RING),
        (fl.LEFT_EYE_EAR, fl.LEFT_EYE_RING),
    ):
        assert {ear[1], ear[2]} <= set(ring[9:])
        assert {ear[4], ear[5]} <= set(ring[1:8])
        assert {ear[0], ear[3]} == {ring[0], ring[8]}


def test_eye_points_of_the_ear_mirror_each_other():
    # p1 of one eye is the outer, of the other the inner corner: the order runs left to right
    # in the image on both.
    mirror = dict(zip(fl.RIGHT_EYE_RING, fl.LEFT_EYE_RING))
    p1, p2, p3, p4, p5, p6 = (mirror[point] for point in fl.RIGHT_EYE_EAR)
    assert (p4, p3, p2, p1, p6, p5) == fl.LEFT_EYE_EAR


@pytest.mark.models
def test_rings_run_around_without_crossing_themselves(face):
    # A ring in drawing order is no longer than 1.6 times its convex hull would suggest; a
    # shuffled one is several times that.
    for ring in RINGS:
        points = face[list(ring)]
        steps = np.linalg.norm(points - np.roll(points, -1, axis=0), axis=1)
        extent = np.ptp(points, axis=0)
        assert steps.sum() < 1.6 * 2.0 * extent.sum()
        assert steps.max() < 0.5 * extent.max()


@pytest.mark.models
def test_left_and_right_are_the_subjects_own(face):
    def x(points):
        return face[list(points), 0].mean()

    assert x(fl.RIGHT_EYE_RING) < x(fl.NOSE_BRIDGE) < x(fl.LEFT_EYE_RING)
    assert x(fl.RIGHT_BROW_UPPER) < x(fl.LEFT_BROW_UPPER)
    assert x((fl.RIGHT_TRAGION,)) < x((fl.RIGHT_EYE_OUTER_CORNER,))
    assert x((fl.RIGHT_EYE_OUTER_CORNER,)) < x((fl.RIGHT_EYE_INNER_CORNER,))
    assert x((fl.LEFT_EYE_INNER_CORNER,)) < x((fl.LEFT_EYE_OUTER_CORNER,))
    assert x((fl.LEFT_EYE_OUTER_CORNER,)) < x((fl.LEFT_TRAGION,))


@pytest.mark.models
def test_from_forehead_to_chin(face):
    def y(*points):
        return face[list(points), 1].mean()

    order = [
        y(10),
        y(*fl.RIGHT_BROW_UPPER),
        y(*fl.RIGHT_BROW_LOWER),
        y(*fl.RIGHT_EYE_RING[9:]),
        y(*fl.RIGHT_EYE_RING[1:8]),
        y(fl.NOSE_TIP),
        y(fl.UPPER_LIP_INNER_MIDDLE),
        y(152),
    ]
    assert order == sorted(order)
    assert y(*fl.LEFT_BROW_UPPER) < y(*fl.LEFT_BROW_LOWER) < y(*fl.LEFT_EYE_RING[9:])
    assert y(*fl.LEFT_EYE_RING[9:]) < y(*fl.LEFT_EYE_RING[1:8])
    assert y(fl.SELLION) < y(fl.NOSE_TIP)
