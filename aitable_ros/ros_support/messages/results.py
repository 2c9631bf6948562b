# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Results <-> messages of aitable_msgs."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from std_msgs.msg import Header

from aitable_msgs.msg import Emotion, Face, FaceArray, Fatigue
from aitable_ros.perception.emotion.expression import EmotionEstimate
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.monitor import FatigueState
from aitable_ros.perception.head.head_pose import HeadPose

SAME_IN_MESSAGE = (
    'left_openness',
    'right_openness',
    'left_ear_baseline',
    'right_ear_baseline',
    'closure_duration_s',
    'closure_truncated',
    'blinks_valid',
    'blink_count',
    'blink_rate',
    'last_blink_duration_s',
    'mean_blink_duration_s',
    'last_blink_amplitude',
    'long_closure_count',
    'microsleep_count',
    'mar',
    'yawning',
    'yawn_duration_s',
    'yawn_count',
    'yawn_rate',
    'nod_count',
    'level_reason',
)
"""Fields that FatigueState and Fatigue have under the same name."""


def faces_to_message(
    faces: Sequence[TrackedFace], header: Header, size_px: tuple[int, int], backend: str
) -> FaceArray:
    """
    Make the message for the faces of one image.

    :param header: the image's.
    :param size_px: width and height of the image.
    :param backend: what ran.
    """
    width, height = size_px
    message = FaceArray(header=header, image_width=width, image_height=height, backend=backend)
    message.faces = [_face_to_message(face, header, size_px, backend) for face in faces]
    return message


def landmarks_of(face: Face) -> npt.NDArray[np.float32] | None:
    """
    Give the landmarks of a message.

    :returns: (468, 3) float32 [pixels], a view of the message's data; None when it has none or
        their number is wrong.
    """
    values = np.frombuffer(face.landmarks, np.float32)
    return values.reshape(-1, 3) if values.size == 468 * 3 else None


def emotion_to_message(estimate: EmotionEstimate, face: Face) -> Emotion:
    """Make the message for the expression of one face."""
    return Emotion(
        header=face.header,
        face_id=face.face_id,
        backend=estimate.backend,
        model=estimate.model,
        expression=estimate.expression,
        label=estimate.label,
        confidence=float(estimate.confidence),
        probabilities=np.asarray(estimate.probabilities, np.float32),
        valence=float(estimate.valence),
        arousal=float(estimate.arousal),
    )


def fatigue_to_message(
    state: FatigueState, pose: HeadPose | None, face: Face, backend: str
) -> Fatigue:
    """
    Make the message for the fatigue of one face.

    :param pose: of the head; None: not measured.
    :param backend: what measured it.
    """
    message = Fatigue(header=face.header, face_id=face.face_id, backend=backend)
    message.visibility = state.visibility.value
    message.eye_state = state.eye_state.value
    message.eyes_closed = state.eyes_closed
    message.left_ear = state.left_ear
    message.right_ear = state.right_ear
    message.mean_ear = (state.left_ear + state.right_ear) / 2
    message.calibration = Fatigue.CALIBRATED if state.calibrated else Fatigue.CALIBRATING
    perclos = state.perclos
    message.perclos = perclos.p80
    message.perclos_p70 = perclos.p70
    message.perclos_em = perclos.em
    message.perclos_long = perclos.long
    message.perclos_valid = perclos.valid
    message.perclos_window_s = perclos.window_s
    message.perclos_observed_s = perclos.observed_s
    message.perclos_coverage = perclos.coverage
    message.level = int(state.level)
    for name in SAME_IN_MESSAGE:
        setattr(message, name, getattr(state, name))
    _fill_head_pose(message, pose)
    return message


def _fill_head_pose(message: Fatigue, pose: HeadPose | None) -> None:
    nan = math.nan
    position = pose.position_m if pose else (nan, nan, nan)
    orientation = pose.orientation_xyzw if pose else (nan, nan, nan, nan)
    message.head_pose_valid = pose is not None
    message.head_pose_calibrated = pose is not None and pose.calibrated
    point, quaternion = message.head_position, message.head_orientation
    point.x, point.y, point.z = position
    quaternion.x, quaternion.y, quaternion.z, quaternion.w = orientation
    message.head_yaw = pose.yaw_rad if pose else nan
    message.head_pitch = pose.pitch_rad if pose else nan
    message.head_roll = pose.roll_rad if pose else nan


def _face_to_message(
    face: TrackedFace, header: Header, size_px: tuple[int, int], backend: str
) -> Face:
    x, y, width, height = (float(v) for v in face.xywh_px)
    message = Face(
        header=header,
        face_id=face.face_id,
        backend=backend,
        image_width=size_px[0],
        image_height=size_px[1],
        x=x,
        y=y,
        width=width,
        height=height,
        confidence=float(face.confidence),
        presence=float(face.presence),
        tracked_s=float(face.tracked_s),
        keypoints=np.ascontiguousarray(face.keypoints_px, np.float32).reshape(-1),
    )
    if face.landmarks_px is not None:
        # assigning bytes goes in one piece; element by element takes milliseconds
        values: Any = array.array('f')
        values.frombytes(np.ascontiguousarray(face.landmarks_px, np.float32).tobytes())
        message.landmarks = values
    return message
