# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The angles of a sitting person, from the keypoints of one image.

Points are in the level frame (:mod:`aitable_ros.perception.posture.frames`): z is up. The
*heading* is the horizontal direction that is square to the shoulders; *left* is square to heading
and up.

* ``shoulder_tilt``: elevation of the line from the right to the left shoulder. Roll: positive to
  the person's right, which is when the left shoulder is the higher one.
* ``torso_yaw``: the heading, from the direction towards the camera; positive to the person's left.
* ``trunk_pitch``, ``trunk_roll``: of the line from the middle of the hips to the middle of the
  shoulders, seen from the side (positive forward) and from the front (positive to the right).
* ``forward_head``: of the line from the middle of the shoulders to the middle of the ears, seen
  from the side, to upright; positive forward. 90 degrees minus it is the craniovertebral angle
  with the shoulders in the place of the vertebra C7, which no network sees.
* ``neck_flexion``: the same to the line from hips to shoulders, ``forward_head - trunk_pitch``.
* ``head_yaw``, ``head_pitch``, ``head_roll``: of the head's frame (REP-155) in the *torso frame*,
  Rz(yaw) Ry(pitch) Rx(roll) as in :mod:`aitable_ros.perception.head.head_pose`. The torso frame
  has y along the shoulders to the left, x square to y and to the line from hips to shoulders
  (forward), z square to both. Without hips, up stands for that line.
* ``neck_ratio``: height of the ears' middle above the shoulders' over the shoulders' distance.

From an image alone only some can be had, and only of who sits square to the camera:
:func:`image_angles` says which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.maths import rotation
from aitable_ros.perception.posture.body_keypoints import KEYPOINT_COUNT, BodyKeypoint

Array = npt.NDArray[np.float64]

_LEFT_SHOULDER, _RIGHT_SHOULDER = BodyKeypoint.LEFT_SHOULDER, BodyKeypoint.RIGHT_SHOULDER
_LEFT_HIP, _RIGHT_HIP = BodyKeypoint.LEFT_HIP, BodyKeypoint.RIGHT_HIP
_LEFT_EAR, _RIGHT_EAR = BodyKeypoint.LEFT_EAR, BodyKeypoint.RIGHT_EAR
_UP = np.array((0.0, 0.0, 1.0))


class Basis(IntEnum):
    """What the angles of the body were measured from."""

    NONE = 0
    IMAGE = 1
    WORLD = 2
    DEPTH = 3


class HeadSource(IntEnum):
    """What the angles of the head were measured from."""

    NONE = 0
    KEYPOINTS = 1
    FACE = 2


@dataclass(frozen=True)
class PostureAngles:
    """
    The angles of one image. NaN: not measured.

    :param basis: what the body's were measured from.
    :param hips_seen: the trunk is measured; otherwise up stands for it.
    :param head_source: what the head's were measured from.
    :param shoulder_tilt_rad: see the module for all of these.
    :param torso_yaw_rad: only in three dimensions.
    :param trunk_pitch_rad: only in three dimensions and with hips.
    :param trunk_roll_rad: the same.
    :param forward_head_rad: only in three dimensions and with both ears.
    :param neck_flexion_rad: the same, and with hips.
    :param head_yaw_rad: relative to the torso; only in three dimensions.
    :param head_pitch_rad: relative to the torso; in an image relative to upright.
    :param head_roll_rad: relative to the torso.
    :param neck_ratio: without unit.
    """

    basis: Basis = Basis.NONE
    hips_seen: bool = False
    head_source: HeadSource = HeadSource.NONE
    shoulder_tilt_rad: float = math.nan
    torso_yaw_rad: float = math.nan
    trunk_pitch_rad: float = math.nan
    trunk_roll_rad: float = math.nan
    forward_head_rad: float = math.nan
    neck_flexion_rad: float = math.nan
    head_yaw_rad: float = math.nan
    head_pitch_rad: float = math.nan
    head_roll_rad: float = math.nan
    neck_ratio: float = math.nan


ANGLE_NAMES: tuple[str, ...] = tuple(
    name for name in PostureAngles.__dataclass_fields__ if name.endswith('_rad')
)
"""The fields of :class:`PostureAngles` that are angles."""


def body_angles(
    points: Array,
    basis: Basis,
    head: Array | None = None,
    head_source: HeadSource = HeadSource.NONE,
) -> PostureAngles:
    """
    Measure in three dimensions.

    :param points: (33, 3) in axes parallel to the level frame, of any origin and scale; NaN: not
        seen.
    :param basis: WORLD or DEPTH; kept in the result.
    :param head: (3, 3) rotation that takes the face frame to the level frame; None: not measured.
    :param head_source: where ``head`` comes from.
    :returns: all NaN and basis NONE without both shoulders.
    """
    left, right = points[_LEFT_SHOULDER], points[_RIGHT_SHOULDER]
    across = left - right
    width = float(np.linalg.norm(across))
    level = math.hypot(across[0], across[1])
    if not (width > 0.0 and level > 0.1 * width):  # also false for NaN
        return PostureAngles()
    heading = np.array((across[1], -across[0], 0.0)) / level
    to_left = np.array((across[0], across[1], 0.0)) / level
    shoulders = (left + right) / 2
    trunk = shoulders - (points[_LEFT_HIP] + points[_RIGHT_HIP]) / 2
    hips_seen = bool(np.isfinite(trunk).all()) and float(np.linalg.norm(trunk)) > 0.0
    trunk_pitch = trunk_roll = math.nan
    if hips_seen:
        trunk_pitch = math.atan2(float(trunk @ heading), trunk[2])
        trunk_roll = math.atan2(-float(trunk @ to_left), trunk[2])
    neck = (points[_LEFT_EAR] + points[_RIGHT_EAR]) / 2 - shoulders
    forward_head = math.atan2(float(neck @ heading), neck[2])
    yaw = pitch = roll = math.nan
    torso = _torso(across / width, trunk if hips_seen else _UP)
    if head is None or torso is None:
        head_source = HeadSource.NONE
    else:
        turned = rotation.from_matrix((torso.T @ head).tolist())
        yaw, pitch, roll = rotation.to_yaw_pitch_roll(turned)
    return PostureAngles(
        basis=basis,
        hips_seen=hips_seen,
        head_source=head_source,
        shoulder_tilt_rad=math.atan2(across[2], level),
        torso_yaw_rad=math.atan2(heading[1], heading[0]),
        trunk_pitch_rad=trunk_pitch,
        trunk_roll_rad=trunk_roll,
        forward_head_rad=forward_head,
        neck_flexion_rad=forward_head - trunk_pitch,
        head_yaw_rad=yaw,
        head_pitch_rad=pitch,
        head_roll_rad=roll,
        neck_ratio=float(neck[2]) / width,
    )


def image_angles(
    rays: Array, head: Array | None = None, head_source: HeadSource = HeadSource.NONE
) -> PostureAngles:
    """
    Measure what an image alone tells, taking the person to sit square to the camera.

    The rays are cut with a vertical plane in front of the camera. Right for shoulders and ears
    that lie in one such plane: ``shoulder_tilt``, ``head_roll`` and ``neck_ratio``. How far
    something is turned, or comes forward, cannot be seen from the front: ``torso_yaw``, both
    angles of the trunk, ``forward_head``, ``neck_flexion`` and ``head_yaw`` stay NaN.

    :param rays: (33, 3) directions in the level frame; NaN: not seen.
    :param head: (3, 3) rotation that takes the face frame to the level frame; then ``head_pitch``
        is measured too, relative to upright. None: ``head_roll`` comes from the line of the eyes.
    :param head_source: where ``head`` comes from.
    :returns: all NaN and basis NONE without both shoulders.
    """
    ahead = np.where(rays[:, :1] < 0.0, -rays[:, :1], np.nan)
    plane = rays[:, 1:] / ahead
    left, right = plane[_LEFT_SHOULDER], plane[_RIGHT_SHOULDER]
    across = left - right
    width = float(np.linalg.norm(across))
    if not (width > 0.0 and across[0] > 0.1 * width):  # also false for NaN, and seen from behind
        return PostureAngles()
    tilt = math.atan2(across[1], across[0])
    ears = (plane[_LEFT_EAR] + plane[_RIGHT_EAR]) / 2
    neck = ears - (left + right) / 2
    pitch = math.nan
    if head is not None:
        _, pitch, roll = rotation.to_yaw_pitch_roll(rotation.from_matrix(head.tolist()))
        roll -= tilt
    else:
        line = _eye_line(plane)
        roll = math.atan2(line[1], line[0]) - tilt
        head_source = HeadSource.NONE if math.isnan(roll) else HeadSource.KEYPOINTS
    return PostureAngles(
        basis=Basis.IMAGE,
        head_source=head_source,
        shoulder_tilt_rad=tilt,
        head_pitch_rad=pitch,
        head_roll_rad=math.remainder(roll, 2 * math.pi),
        neck_ratio=float(neck[1]) / width,
    )


def no_points() -> Array:
    """Give (33, 3) NaN: nothing seen."""
    return np.full((KEYPOINT_COUNT, 3), math.nan)


def _torso(to_left: Array, up: Array) -> Array | None:
    """Give the torso frame's axes as columns; None when the shoulders lie along the trunk."""
    forward = np.cross(to_left, up)
    length = float(np.linalg.norm(forward))
    if not length > 0.1 * float(np.linalg.norm(up)):
        return None
    forward /= length
    return np.stack((forward, to_left, np.cross(forward, to_left)), axis=1)


def _eye_line(plane: Array) -> Array:
    """Give the direction from the right to the left of eyes and ears; NaN without either."""
    pairs = (
        (_LEFT_EAR, _RIGHT_EAR),
        (BodyKeypoint.LEFT_EYE, BodyKeypoint.RIGHT_EYE),
        (BodyKeypoint.LEFT_EYE_OUTER, BodyKeypoint.RIGHT_EYE_OUTER),
        (BodyKeypoint.LEFT_EYE_INNER, BodyKeypoint.RIGHT_EYE_INNER),
    )
    lines = np.array([plane[left] - plane[right] for left, right in pairs])
    lines = lines[np.isfinite(lines).all(axis=1)]
    return lines.sum(axis=0) if len(lines) else np.full(2, math.nan)
