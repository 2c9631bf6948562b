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
from aitable_ros.analysis.expression import EmotionEstimate
from aitable_ros.analysis.fatigue_monitor import FatigueState
from aitable_ros.perception.face_pipeline import TrackedFace


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
    state: FatigueState,
    face: Face,
    *,
    visibility: int,
    left_ear: float,
    right_ear: float,
    mar: float,
) -> Fatigue:
    """
    Make the message for the fatigue of one face.

    :param visibility: one of the visibility constants of Fatigue.
    :param left_ear: EAR of the left eye; NaN: not measured.
    :param right_ear: EAR of the right eye.
    :param mar: mouth aspect ratio; NaN: not measured.
    """
    nan = math.nan
    message = Fatigue(
        header=face.header, face_id=face.face_id, backend=face.backend, visibility=visibility
    )
    message.eye_state = state.eye_state.value
    message.eyes_closed = message.eye_state == Fatigue.EYES_CLOSED
    message.left_ear = left_ear
    message.right_ear = right_ear
    message.mean_ear = (left_ear + right_ear) / 2
    message.left_openness = state.left_openness
    message.right_openness = state.right_openness
    message.calibration = Fatigue.CALIBRATED if state.calibrated else Fatigue.CALIBRATING
    message.left_ear_baseline = state.left_ear_baseline
    message.right_ear_baseline = state.right_ear_baseline
    perclos = state.perclos
    message.perclos = perclos.p80
    message.perclos_p70 = perclos.p70
    message.perclos_em = perclos.em
    message.perclos_long = nan
    message.perclos_valid = perclos.valid
    message.perclos_window_s = perclos.window_s
    message.perclos_observed_s = perclos.observed_s
    message.perclos_coverage = perclos.coverage
    message.closure_duration_s = state.closure_duration_s
    message.closure_truncated = state.closure_truncated
    message.blinks_valid = state.blinks_valid
    message.blink_count = state.blink_count
    message.blink_rate = state.blink_rate
    message.last_blink_duration_s = state.last_blink_duration_s
    message.mean_blink_duration_s = state.mean_blink_duration_s
    message.last_blink_amplitude = state.last_blink_amplitude
    message.mar = mar
    message.yawn_duration_s = nan
    message.yawn_rate = nan
    message.head_position.x = message.head_position.y = message.head_position.z = nan
    orientation = message.head_orientation
    orientation.x = orientation.y = orientation.z = orientation.w = nan
    message.head_yaw = message.head_pitch = message.head_roll = nan
    return message


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
