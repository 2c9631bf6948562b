# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From messages to what the overlay draws."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aitable_msgs.msg import Emotion, Face, Fatigue
from aitable_ros.ros_support.messages.results import landmarks_of
from aitable_ros.visualization.overlay.face_overlay import FaceOverlay
from aitable_ros.visualization.overlay.head_axes import head_axes_px

LEVEL_NAMES = {
    Fatigue.LEVEL_ALERT: 'alert',
    Fatigue.LEVEL_MILD: 'mild',
    Fatigue.LEVEL_SEVERE: 'severe',
    Fatigue.LEVEL_MICROSLEEP: 'microsleep',
    Fatigue.LEVEL_ASLEEP: 'asleep',
}
"""Name by level; LEVEL_UNKNOWN has none."""


def face_overlay(face: Face, emotion: Emotion | None, fatigue: Fatigue | None) -> FaceOverlay:
    """
    Put together what is known of one face.

    :param emotion: of the same face, or None where there is none.
    :param fatigue: of the same face, or None where there is none.
    """
    nan = math.nan
    if emotion is not None and emotion.expression == Emotion.UNKNOWN:
        emotion = None
    eyes_closed = None
    if fatigue is not None and fatigue.eye_state != Fatigue.EYES_UNKNOWN:
        eyes_closed = bool(fatigue.eyes_closed)
    return FaceOverlay(
        face_id=face.face_id,
        xywh_px=np.array((face.x, face.y, face.width, face.height)),
        landmarks_px=landmarks_of(face),
        expression='' if emotion is None else emotion.label,
        confidence=nan if emotion is None else emotion.confidence,
        valence=nan if emotion is None else emotion.valence,
        arousal=nan if emotion is None else emotion.arousal,
        left_ear=nan if fatigue is None else fatigue.left_ear,
        right_ear=nan if fatigue is None else fatigue.right_ear,
        eyes_closed=eyes_closed,
        perclos=nan if fatigue is None else fatigue.perclos,
        level='' if fatigue is None else LEVEL_NAMES.get(fatigue.level, ''),
        head_axes_px=_head_axes(face, fatigue),
    )


def _head_axes(face: Face, fatigue: Fatigue | None) -> npt.NDArray[np.float64] | None:
    """Give the axes of the head, if its pose belongs to this very image."""
    landmarks_px = landmarks_of(face)
    if fatigue is None or not fatigue.head_pose_valid or landmarks_px is None:
        return None
    if fatigue.header.stamp != face.header.stamp:
        return None
    position, orientation = fatigue.head_position, fatigue.head_orientation
    return head_axes_px(
        landmarks_px,
        (position.x, position.y, position.z),
        (orientation.x, orientation.y, orientation.z, orientation.w),
    )
