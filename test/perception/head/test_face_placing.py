# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Faces are placed where the error of their projection is least, compared to OpenCV's solvers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from aitable_ros.perception.head.canonical_face import EYE_SPAN_M, RIGID_POINTS_M
from aitable_ros.perception.head.face_placing import FacePlacer
from aitable_ros.perception.maths import rotation

FACE_M = np.array(list(RIGID_POINTS_M.values()))
PINHOLE = np.eye(3)


def seen(random, noise=0.0):
    """Give rays of a face anywhere before the camera, however it is turned, and its true pose."""
    turn = rotation.from_rotation_vector((0.0, 0.0, math.radians(random.uniform(-80, 80))))
    for axis, limit in ((1, 60), (0, 180)):
        vector = [0.0, 0.0, 0.0]
        vector[axis] = math.radians(random.uniform(-limit, limit))
        turn = rotation.product(turn, rotation.from_rotation_vector(vector))
    matrix = np.array(rotation.to_matrix(rotation.product((0.5, 0.5, -0.5, 0.5), turn)))
    z = math.exp(random.uniform(math.log(0.2), math.log(3.0)))
    position = np.array((random.uniform(-0.6, 0.6) * z, random.uniform(-0.6, 0.6) * z, z))
    points = FACE_M @ matrix.T + position
    rays = points[:, :2] / points[:, 2:]
    rays += random.normal(0.0, noise * EYE_SPAN_M / z, rays.shape)
    return rays, matrix, position


def by_opencv(rays, steps):
    """Give rotation and position by SQPnP and so many steps of Levenberg-Marquardt."""
    _, turn, shift = cv2.solvePnP(FACE_M, rays, PINHOLE, None, flags=cv2.SOLVEPNP_SQPNP)
    criteria = (cv2.TERM_CRITERIA_COUNT, steps, 0.0)
    turn, shift = cv2.solvePnPRefineLM(FACE_M, rays, PINHOLE, None, turn, shift, criteria)
    return cv2.Rodrigues(turn)[0], shift[:, 0]


def error(rays, matrix, position):
    points = FACE_M @ matrix.T + position
    return math.sqrt(((points[:, :2] / points[:, 2:] - rays) ** 2).sum())


def apart(one, other):
    """Tell the angle between two rotations [rad]."""
    return 2.0 * math.asin(min(1.0, np.linalg.norm(one - other) / math.sqrt(8.0)))


def placed(rays):
    *axes, position = FacePlacer().place(rays)
    return np.array(axes).T, np.array(position)


def test_every_pose_comes_back():
    random = np.random.default_rng(1)
    for _ in range(300):
        rays, matrix, position = seen(random)
        found, place = placed(rays)
        assert apart(found, matrix) < 1e-3
        assert place == pytest.approx(position, abs=3e-4 * position[2])


def test_it_is_nearer_to_the_best_pose_than_two_steps_after_sqpnp():
    random = np.random.default_rng(2)
    ours, theirs = [], []
    for _ in range(300):
        rays, _, _ = seen(random, noise=random.uniform(0.0, 0.03))
        best, place = by_opencv(rays, 50)
        found, where = placed(rays)
        two, there = by_opencv(rays, 2)
        ours.append((apart(found, best), math.dist(where, place) / place[2]))
        theirs.append((apart(two, best), math.dist(there, place) / place[2]))
    assert (np.max(ours, axis=0) < (5e-4, 2e-4)).all()
    assert (np.median(ours, axis=0) < np.median(theirs, axis=0)).all()


def test_there_is_no_better_pose_anywhere():
    """From random poses on, noise of 5 % of the eye span: all that ends elsewhere is far worse."""
    random = np.random.default_rng(3)
    elsewhere = 0
    for _ in range(40):
        rays, _, position = seen(random, noise=0.05)
        matrix, place = placed(rays)
        for _ in range(10):
            turn = random.normal(size=3)
            turn *= random.uniform(0.0, math.pi) / np.linalg.norm(turn)
            shift = position * math.exp(random.uniform(-0.7, 0.7))
            criteria = (cv2.TERM_CRITERIA_COUNT, 60, 0.0)
            turn, shift = cv2.solvePnPRefineLM(
                FACE_M, rays, PINHOLE, None, turn[:, None].copy(), shift[:, None].copy(), criteria
            )
            other = cv2.Rodrigues(turn)[0]
            assert error(rays, matrix, place) < error(rays, other, shift[:, 0]) * 1.001
            elsewhere += apart(other, matrix) > 0.5
    assert elsewhere > 20


@pytest.mark.parametrize(
    'rays',
    [np.zeros((29, 2)), np.full((29, 2), 0.3), np.linspace(0.0, 0.2, 58).reshape(29, 2) * (1, 0)],
)
def test_points_and_lines_are_no_faces(rays):
    assert FacePlacer().place(rays) is None
