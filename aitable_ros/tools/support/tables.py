# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The one form of CSV tables: a row per face and image, by the names of aitable_msgs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import cache
from typing import Any, TextIO

import numpy as np

from aitable_ros.perception.attention.gaze import Gaze, GazeState
from aitable_ros.perception.attention.monitor import AttentionState
from aitable_ros.perception.attention.observer import AttentionReading
from aitable_ros.perception.emotion.expression import EXPRESSIONS
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.monitor import FatigueMonitor, FatigueSample
from aitable_ros.perception.fatigue.observer import FatigueReading
from aitable_ros.perception.posture.measure import PostureSample
from aitable_ros.perception.posture.monitor import PostureMonitor
from aitable_ros.perception.posture.observer import PostureReading

FACE_COLUMNS = ('x', 'y', 'width', 'height', 'confidence', 'presence')
EMOTION_COLUMNS = ('expression', 'expression_confidence', *EXPRESSIONS, 'valence', 'arousal')
ATTENTION_PREFIX = 'attention_'
POSTURE_PREFIX = 'posture_'


class ReadingTable:
    """
    Writes readings as CSV. What is not measured is empty, enumerations are names in lower case.

    :param file: open for writing, with ``newline=''``.
    :param extra: further columns.
    """

    def __init__(self, file: TextIO, extra: Sequence[str] = ()) -> None:
        self._writer = csv.DictWriter(file, (*columns(), *extra), restval='')
        self._writer.writeheader()

    def add_image(
        self,
        source: str,
        stamp_s: float,
        faces: Iterable[Any],
        emotions: Mapping[str, Any],
        fatigues: Mapping[str, Mapping[str, Any]],
        posture: Mapping[str, Any] | None = None,
        attentions: Mapping[str, Mapping[str, Any]] | None = None,
        **extra: Any,
    ) -> None:
        """
        Write the rows of an image: one per face, and one of a body to which none of them belongs.

        :param source: file or topic that the image is from.
        :param stamp_s: the image's time [s].
        :param faces: each a TrackedFace or Face.
        :param emotions: EmotionEstimate or Emotion of this image by face id.
        :param fatigues: fields of a Fatigue message of this image by face id.
        :param posture: fields of a Posture message of this image; None: there is none.
        :param attentions: fields of an Attention message of this image by face id.
        :param extra: values of the further columns.
        """
        # names of files need not be valid UTF-8
        source = source.encode(errors='backslashreplace').decode()
        common = {'source': source, 'stamp': f'{stamp_s:.9f}', **extra}
        for face in faces:
            face_id = face.face_id
            row = {
                **common,
                'face_id': face_id,
                **dict(zip(FACE_COLUMNS, (*_box(face), face.confidence, face.presence))),
                **_emotion(emotions.get(face_id)),
                **_named(fatigues.get(face_id, {}), _fatigue_fields(), ''),
                **_named(
                    (attentions or {}).get(face_id, {}), _attention_fields(), ATTENTION_PREFIX
                ),
            }
            if posture is not None and posture['person_id'] == face_id:
                row.update(_named(posture, _posture_fields(), POSTURE_PREFIX))
                posture = None
            self._write(row)
        if posture is not None:
            self._write({**common, **_named(posture, _posture_fields(), POSTURE_PREFIX)})

    def _write(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow({name: _text(value) for name, value in row.items()})


def columns() -> tuple[str, ...]:
    """Return the names of the columns, in their order."""
    return (
        *('source', 'stamp', 'face_id', *FACE_COLUMNS, *EMOTION_COLUMNS, *_fatigue_fields()),
        *(ATTENTION_PREFIX + name for name in _attention_fields()),
        *(POSTURE_PREFIX + name for name in _posture_fields()),
    )


def message_fields(message: Any) -> dict[str, Any]:
    """
    Return what a table takes of a Fatigue, Attention or Posture message.

    :param message: the message.
    """
    kinds = {'Fatigue': _fatigue_fields, 'Attention': _attention_fields}
    names = kinds.get(type(message).__name__, _posture_fields)()
    return {name: getattr(message, name) for name in names}


# What the fields are and which of them are enumerations, a reading of nothing tells.
@cache
def _fatigue_fields() -> dict[str, Any]:
    state = FatigueMonitor().update(0.0, FatigueSample(math.nan, math.nan))
    nobody: Any = None
    return FatigueReading(nobody, state, None, '').fields()


@cache
def _attention_fields() -> dict[str, Any]:
    face = TrackedFace(
        *('', np.zeros(4, np.float32), 0.0, 0.0, np.zeros((6, 2), np.float32), None, 0.0)
    )
    return AttentionReading(face, Gaze(GazeState.NO_HEAD), AttentionState(), 0.0).fields()


@cache
def _posture_fields() -> dict[str, Any]:
    state = PostureMonitor().update(0.0, PostureSample())
    return PostureReading(state, None, '', (0, 0), '').fields()


def _named(fields: Mapping[str, Any], kinds: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Prefix the names, and turn the numbers of enumerations into them."""
    return {
        prefix + name: type(kinds[name])(value) if isinstance(kinds[name], IntEnum) else value
        for name, value in fields.items()
    }


def _box(face: Any) -> tuple[float, float, float, float]:
    if isinstance(face, TrackedFace):
        return tuple(face.xywh_px.tolist())
    return face.x, face.y, face.width, face.height


def _emotion(emotion: Any) -> dict[str, Any]:
    if emotion is None:
        return {}
    return {
        'expression': emotion.label,
        'expression_confidence': emotion.confidence,
        **dict(zip(EXPRESSIONS, emotion.probabilities)),
        'valence': emotion.valence,
        'arousal': emotion.arousal,
    }


def _text(value: Any) -> Any:
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | str):
        return value
    return f'{value:.6g}' if math.isfinite(value) else ''
