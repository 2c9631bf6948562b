# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where a head points, from the body network's few points on it.

An average head is placed so that its points project onto the keypoints, as
:mod:`aitable_ros.perception.head.head_pose` does with the 468 landmarks of a face. The third
    dimension
that BlazePose gives is not used for heads: its faces are half as wide as they should be, and its
rolls differ between a picture and its mirror image (docs/posture.md has both).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint

Array = npt.NDArray[np.float64]

K = BodyKeypoint


def _head_points() -> dict[int, tuple[float, float, float]]:
    """
    Place the head's keypoints in the face frame.

    Eyes and nose as in MediaPipe's canonical face, the corners of the mouth as its vertices 61
    and 291. The ears' tragi lie where the line from them to the eyes rises by 15 degrees, as it
    does when the head is held upright (ear-eye line; Ankrum and Nemeth, "Posture, Comfort, and
    Monitor Placement", Ergonomics in Design 3(2), 1995, from memory).
    """
    points: dict[int, tuple[float, float, float]] = {K.NOSE: RIGID_POINTS_M[1]}
    left = (K.LEFT_EYE, K.LEFT_EYE_INNER, K.LEFT_EYE_OUTER, K.LEFT_EAR, K.MOUTH_LEFT)
    right = (K.RIGHT_EYE, K.RIGHT_EYE_INNER, K.RIGHT_EYE_OUTER, K.RIGHT_EAR, K.MOUTH_RIGHT)
    for sign, (eye, inner, outer, ear, mouth), corners in (
        (1.0, left, (362, 263)),
        (-1.0, right, (133, 33)),
    ):
        a, b = (RIGID_POINTS_M[corner] for corner in corners)
        points[inner], points[outer] = a, b
        points[eye] = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2)
        points[ear] = (-0.095, sign * 0.075, -0.0272)
        points[mouth] = (-0.0095, sign * 0.0246, -0.0761)
    return points


HEAD_POINTS_M = _head_points()
"""Keypoint -> (out of the face, to the person's left, up) from the sellion [m]."""

_ROWS = np.array(sorted(HEAD_POINTS_M), dtype=np.intp)
_MODEL = np.array([HEAD_POINTS_M[row] for row in sorted(HEAD_POINTS_M)])
_EARS = np.array([row in (K.LEFT_EAR, K.RIGHT_EAR) for row in sorted(HEAD_POINTS_M)])
_SIZE_M = float(np.ptp(_MODEL[:, 1]))
_PINHOLE = np.eye(3)
_REFINE = (cv2.TERM_CRITERIA_COUNT, 10, 0.0)

_MIN_FACE_POINTS = 3

# Ears beyond this are guesses, and a face seen from behind is none.
_MIN_FACING = math.cos(math.radians(80.0))

# RMS of the projected points' offsets over the head's apparent width; on pictures of people up
# to 0.1.
_MAX_RESIDUAL = 0.25


def head_from_keypoints(rays: Array) -> Array | None:
    """
    Place a head.

    SQPnP (Terzakis and Lourakis, ECCV 2020), then Levenberg-Marquardt.

    :param rays: (33, 3) directions x / z, y / z, 1 of the keypoints in the optical frame; NaN:
        not seen.
    :returns: (3, 3) rotation that takes vectors of the face frame (REP-155) to the optical frame;
        None without both ears and three of the other points, which leaves too much open, for
        points that are no head, and for one that is turned away from the camera.
    """
    seen = rays[_ROWS, :2]
    finite = np.asarray(np.isfinite(seen).all(axis=1))
    if not finite[_EARS].all() or np.count_nonzero(finite & ~_EARS) < _MIN_FACE_POINTS:
        return None
    model, seen = np.ascontiguousarray(_MODEL[finite]), np.ascontiguousarray(seen[finite])
    try:
        found, turn, shift = cv2.solvePnP(model, seen, _PINHOLE, None, flags=cv2.SOLVEPNP_SQPNP)
        if not found:
            return None
        turn, shift = cv2.solvePnPRefineLM(model, seen, _PINHOLE, None, turn, shift, _REFINE)
        matrix = np.asarray(cv2.Rodrigues(turn)[0], dtype=np.float64)
    except cv2.error:
        return None
    position = np.asarray(shift, dtype=np.float64)[:, 0]
    placed = model @ matrix.T + position
    if not (math.isfinite(float(placed.sum())) and float(placed[:, 2].min()) > 0.0):
        return None
    offsets = placed[:, :2] / placed[:, 2:] - seen
    residual = math.sqrt(float(np.square(offsets).sum()) / len(offsets))
    if residual * float(position[2]) > _MAX_RESIDUAL * _SIZE_M:
        return None
    sight = position / np.linalg.norm(position)
    return matrix if float(-sight @ matrix[:, 0]) >= _MIN_FACING else None
