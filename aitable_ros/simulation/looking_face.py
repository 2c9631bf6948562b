# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Landmarks of a face whose head and eyes look where they are told: known truth for gaze.

The rigid points of the average face are placed in front of a camera and projected; behind the
eyes' corners lie eyeballs that turn, and their irises are projected as discs. The eyeball's
numbers are near those of real faces, and none is exactly the estimator's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import (
    LEFT_EYE_EAR,
    LEFT_IRIS,
    REFINED_LANDMARKS,
    RIGHT_EYE_EAR,
    RIGHT_IRIS,
    keypoints_from_landmarks,
)
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.eye_openness import INNER_LIPS
from aitable_ros.perception.head.camera import Camera
from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M
from aitable_ros.perception.head.head_pose import FACING_XYZW
from aitable_ros.perception.maths.rotation import Vector, from_rotation_vector, product, to_matrix

SIZE_PX = (640, 480)
CAMERA = Camera.assumed(SIZE_PX, math.radians(62.2))

_PUPIL_RADIUS_M = 0.0104
_IRIS_RADIUS_M = 0.0059
_CENTRE_BACK_M = 0.0049
_CENTRE_UP_M = 0.0021
_CENTRE_OUT_M = 0.0008
_LID_ARC_M = 0.004
_MOUTH_M = (0.008, 0.0, -0.068)
_MOUTH_WIDTH_M = 0.045
_IRIS_EDGE = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))


@dataclass(frozen=True)
class Looking:
    """
    Where a face is and looks. Yaw to the person's left and pitch down are positive.

    :param gaze_yaw_rad: of the gaze, from the line to the camera [rad].
    :param gaze_pitch_rad: the same, down.
    :param head_yaw_rad: of the head, from the line to the camera [rad].
    :param head_pitch_rad: the same, down.
    :param head_roll_rad: to the right shoulder [rad].
    :param position_m: of the sellion in the camera's optical frame.
    :param openness: of the lids, 0..1.
    :param open_ear: EAR of the open eye.
    :param mar: of the mouth.
    """

    gaze_yaw_rad: float = 0.0
    gaze_pitch_rad: float = 0.0
    head_yaw_rad: float = 0.0
    head_pitch_rad: float = 0.0
    head_roll_rad: float = 0.0
    position_m: Vector = (0.0, 0.0, 0.6)
    openness: float = 1.0
    open_ear: float = 0.3
    mar: float = 0.02


def towards(yaw_rad: float, pitch_rad: float, position_m: Vector) -> Vector:
    """
    Give a direction in the optical frame by its angles from the line to the camera.

    :param yaw_rad: to the left of the person [rad].
    :param pitch_rad: down [rad].
    :param position_m: from where.
    """
    x, y, z = position_m
    yaw = yaw_rad + math.atan2(-x, z)
    pitch = pitch_rad + math.atan2(-y, math.hypot(x, z))
    return math.sin(yaw) * math.cos(pitch), math.sin(pitch), -math.cos(yaw) * math.cos(pitch)


def looking_landmarks(
    looking: Looking, noise_px: float = 0.0, rng: np.random.Generator | None = None
) -> npt.NDArray[np.float32]:
    """
    Make the landmarks of the attention mesh.

    :param looking: the truth.
    :param noise_px: standard deviation of every coordinate [pixels].
    :param rng: source of the noise.
    :returns: (478, 3) float32 [pixels] in an image of :data:`SIZE_PX` of :data:`CAMERA`.
    """
    to_x, to_y, to_z = looking.position_m
    yaw = looking.head_yaw_rad + math.atan2(-to_x, to_z)
    pitch = looking.head_pitch_rad + math.atan2(-to_y, math.hypot(to_x, to_z))
    turn = FACING_XYZW
    turns = ((0.0, 0.0, yaw), (0.0, pitch, 0.0), (looking.head_roll_rad, 0.0, 0.0))
    for one in turns:
        turn = product(turn, from_rotation_vector(one))
    matrix = np.array(to_matrix(turn))
    gaze = np.array(towards(looking.gaze_yaw_rad, looking.gaze_pitch_rad, looking.position_m))
    gaze_in_face = matrix.T @ gaze
    points = np.tile((-0.01, 0.0, -0.04), (REFINED_LANDMARKS, 1))
    points[list(RIGID_POINTS_M)] = list(RIGID_POINTS_M.values())
    down = math.atan2(-gaze_in_face[2], math.hypot(gaze_in_face[0], gaze_in_face[1]))
    lids = looking.openness * (1.0 - 0.6 * min(max(down / math.radians(35.0), 0.0), 1.0))
    for rows, iris in (RIGHT_EYE_EAR, RIGHT_IRIS), (LEFT_EYE_EAR, LEFT_IRIS):
        first, second = points[rows[0]].copy(), points[rows[3]].copy()
        half = 0.5 * looking.open_ear * lids * math.dist(first, second)
        for row, share, up in zip(
            rows[1:3] + rows[4:], (0.3, 0.7, 0.7, 0.3), (half, half, -half, -half)
        ):
            points[row] = first + share * (second - first) + (_LID_ARC_M, 0.0, up)
        side = math.copysign(_CENTRE_OUT_M, first[1] + second[1])
        centre = 0.5 * (first + second) + (-_CENTRE_BACK_M, side, _CENTRE_UP_M)
        points[iris[0]] = centre + _PUPIL_RADIUS_M * gaze_in_face
        beside = np.cross((0.0, 0.0, 1.0), gaze_in_face)
        beside /= np.linalg.norm(beside)
        above = np.cross(gaze_in_face, beside)
        for row, (right, up) in zip(iris[1:], _IRIS_EDGE):
            points[row] = points[iris[0]] + _IRIS_RADIUS_M * (right * beside + up * above)
    half = 0.5 * looking.mar * _MOUTH_WIDTH_M
    x, y, z = _MOUTH_M
    points[list(INNER_LIPS)] = (
        (x, y, z + half),
        (x, y, z - half),
        (x, y - 0.5 * _MOUTH_WIDTH_M, z),
        (x, y + 0.5 * _MOUTH_WIDTH_M, z),
    )
    placed = points @ matrix.T + looking.position_m
    pixels = CAMERA.project(placed)
    if noise_px:
        pixels = pixels + (rng or np.random.default_rng(0)).normal(0.0, noise_px, pixels.shape)
    depth = (placed[:, 2:] - to_z) * CAMERA.focal_px / to_z
    return np.hstack((pixels, depth)).astype(np.float32)


def looking_face(
    landmarks_px: npt.NDArray[np.float32], face_id: str = 'f1', tracked_s: float = 0.0
) -> TrackedFace:
    """
    Give what face detection says of such a face.

    :param landmarks_px: (478, 3).
    :param face_id: whose.
    :param tracked_s: how long it has been followed [s].
    """
    low, high = landmarks_px[:, :2].min(axis=0), landmarks_px[:, :2].max(axis=0)
    return TrackedFace(
        face_id,
        np.concatenate((low, high - low)),
        0.9,
        0.99,
        keypoints_from_landmarks(landmarks_px),
        landmarks_px,
        tracked_s,
    )
