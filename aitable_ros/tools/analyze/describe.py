# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Observations as the JSON lines of ``analyze``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.attention.observer import AttentionReading
from aitable_ros.perception.emotion.observer import EmotionReading
from aitable_ros.perception.faces.landmarks import are_refined
from aitable_ros.perception.fatigue.observer import FatigueReading
from aitable_ros.perception.observers import Observation
from aitable_ros.perception.posture.angles import ANGLE_NAMES
from aitable_ros.perception.posture.observer import PostureReading

_DECIMALS = 5

# Key in JSON and field of aitable_msgs.
_FATIGUE = {
    name: name
    for name in (
        *('visibility', 'eye_state', 'left_openness', 'right_openness', 'eyes_closed'),
        *('closure_duration', 'perclos', 'perclos_valid', 'blink_count', 'mar', 'yawning'),
        *('head_yaw', 'head_pitch', 'head_roll', 'level'),
    )
} | {'closure_duration': 'closure_duration_s'}
_ATTENTION = (
    *('gaze_state', 'gaze_yaw', 'gaze_pitch', 'right_eye_yaw', 'right_eye_pitch'),
    *('left_eye_yaw', 'left_eye_pitch', 'zone', 'source', 'yaw', 'pitch'),
)
_ATTENTION_OVER_TIME = (
    *('zone_s', 'natural', 'natural_yaw', 'natural_pitch', 'front_share', 'desk_share'),
    *('away_share', 'since_away_s'),
)
_POSTURE = (
    *('person_id', 'basis', 'hips_seen', 'head_source'),
    *(name.removesuffix('_rad') for name in ANGLE_NAMES),
    *('neck_ratio', 'camera_distance'),
)
_POSTURE_OVER_TIME = (
    *('state', 'state_reason', 'state_s', 'calibration', 'slouch'),
    *('good_s', 'poor_s', 'too_close_s', 'still_s'),
)


def describe(observation: Observation, *, is_stream: bool, landmarks: bool) -> dict[str, Any]:
    """
    Describe what was seen in one image; what is not measured is None.

    :param is_stream: whether images belong together: of a picture there is nothing over time.
    :param landmarks: write them, too.
    """
    described: dict[str, Any] = {
        'faces': [
            _face(
                reading,
                attention,
                observation.emotion_of(reading.face.face_id),
                is_stream=is_stream,
                landmarks=landmarks,
            )
            for reading, attention in zip(observation.fatigue, observation.attention)
        ]
    }
    if observation.posture is not None:
        described['posture'] = _posture(observation.posture, is_stream=is_stream)
    return described


def _face(
    reading: FatigueReading,
    attention: AttentionReading,
    emotion: EmotionReading | None,
    *,
    is_stream: bool,
    landmarks: bool,
) -> dict[str, Any]:
    face, fields = reading.face, reading.fields()
    points = face.landmarks_px
    refined = points is not None and are_refined(points)
    described = {
        'id': face.face_id,
        'box': _numbers(face.xywh_px, 3),
        'confidence': _number(face.confidence, 4),
        'presence': _number(face.presence, 4),
        'landmarks': _numbers(points, 3) if landmarks and points is not None else None,
        'left_ear': _number(reading.state.left_ear),
        'right_ear': _number(reading.state.right_ear),
        'visibility': _plain(fields['visibility']),
        'emotion': None if emotion is None else _emotion(emotion),
        'ear_model': 'face_attention' if refined else 'face_mesh',
    }
    looks = attention.fields()
    described['attention'] = {name: _plain(looks[name]) for name in _ATTENTION}
    if is_stream:
        described['attention'] |= {name: _plain(looks[name]) for name in _ATTENTION_OVER_TIME}
        described['fatigue'] = {key: _plain(fields[name]) for key, name in _FATIGUE.items()}
    return described


def _emotion(reading: EmotionReading) -> dict[str, Any]:
    estimate = reading.estimate
    return {
        'expression': estimate.label,
        'confidence': _number(estimate.confidence),
        'probabilities': _numbers(estimate.probabilities, 6),
        'valence': _number(estimate.valence),
        'arousal': _number(estimate.arousal),
        'reading': estimate.reading,
        'backend': estimate.backend,
    }


def _posture(reading: PostureReading, *, is_stream: bool) -> dict[str, Any]:
    fields: Mapping[str, Any] = reading.fields()
    body = reading.body
    described = {name: _plain(fields[name]) for name in _POSTURE}
    described['keypoints'] = None if body is None else _numbers(body.xy_px, 2)
    described['visibility'] = None if body is None else _numbers(body.visibility, 3)
    if is_stream:
        described.update({name: _plain(fields[name]) for name in _POSTURE_OVER_TIME})
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, IntEnum):
        return value.name.lower()
    return _number(value) if isinstance(value, float) else value


def _number(value: float, digits: int = _DECIMALS) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _numbers(values: npt.NDArray, digits: int) -> list[Any]:
    """Nested lists of rounded numbers; what is not finite becomes None."""
    rounded = np.round(np.asarray(values, dtype=np.float64), digits)
    if np.isfinite(rounded).all():
        numbers: list[Any] = rounded.tolist()
        return numbers
    return [
        _numbers(row, digits) if isinstance(row, np.ndarray) else _number(row, digits)
        for row in rounded
    ]
