# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which face belongs to a body, and what it tells of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import LANDMARKS
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.head_pose import HeadPoseEstimator
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint, BodyKeypoints
from aitable_ros.perception.posture.measure import SeenFace

# Eyes and nose lie in a face's box; ears may lie beside it.
_FACE_POINTS = [
    BodyKeypoint.NOSE,
    BodyKeypoint.LEFT_EYE,
    BodyKeypoint.RIGHT_EYE,
    BodyKeypoint.MOUTH_LEFT,
    BodyKeypoint.MOUTH_RIGHT,
]
_LEFT_EYE_CORNERS, _RIGHT_EYE_CORNERS = [362, 263], [33, 133]

MAX_OFFSET = 0.5
"""How far eyes, nose and mouth may lie from the middle of the face's box, over its larger side."""


def match_face(body: BodyKeypoints, faces_xywh_px: Sequence[npt.ArrayLike]) -> int | None:
    """
    Find the face that goes with a body.

    :param body: keypoints of the body.
    :param faces_xywh_px: left, top, width, height of each face [pixels].
    :returns: index of the face around whose middle the body's eyes, nose and mouth lie; None
        when there is none.
    """
    points = body.xy_px[_FACE_POINTS].astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    middle = points.mean(axis=0)
    best, best_offset = None, MAX_OFFSET
    for index, face in enumerate(faces_xywh_px):
        x, y, width, height = np.asarray(face, dtype=np.float64)
        side = max(width, height)
        if not side > 0.0:
            continue
        offset = float(np.hypot(x + width / 2 - middle[0], y + height / 2 - middle[1])) / side
        if offset <= best_offset:
            best, best_offset = index, offset
    return best


def seen_face(
    landmarks_px: npt.NDArray | None,
    size_px: tuple[int, int],
    estimator: HeadPoseEstimator,
    intrinsics: CameraIntrinsics | None = None,
) -> SeenFace | None:
    """
    Give what a face's landmarks tell of the head.

    The middles of the eyes' corners are as far apart as the pupils.

    :param landmarks_px: (468, 2 or 3) of the face mesh [pixels]; None: there are none.
    :param size_px: width and height of the image.
    :param estimator: measures the head's orientation.
    :param intrinsics: the camera's calibration, if there is one.
    :returns: None without landmarks, or when they are not finite.
    :raises ValueError: when the image's size does not go with the intrinsics.
    """
    if landmarks_px is None or len(landmarks_px) < LANDMARKS or min(size_px) <= 0:
        return None
    if not np.isfinite(landmarks_px).all():
        return None
    pose = estimator.estimate(landmarks_px, size_px, intrinsics)
    left, right = (
        landmarks_px[corners, :2].mean(axis=0)
        for corners in (_LEFT_EYE_CORNERS, _RIGHT_EYE_CORNERS)
    )
    return SeenFace(
        None if pose is None else pose.orientation_xyzw,
        (float(left[0]), float(left[1])),
        (float(right[0]), float(right[1])),
    )
