# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The readings of the last minutes, in memory only: for curves and the CSV file."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

PERIOD_S = 0.5

_SOURCES = {
    'emotion': ('label', 'confidence', 'valence', 'arousal'),
    'fatigue': (
        *('left_ear', 'right_ear', 'left_openness', 'right_openness', 'perclos', 'level'),
        *('blink_count', 'microsleep_count', 'yawn_count', 'head_yaw', 'head_pitch', 'head_roll'),
    ),
    'attention': ('zone', 'gaze_yaw', 'gaze_pitch'),
    'posture': ('state', 'camera_distance', 'good_share'),
}
_NAMES = {
    'label': 'expression',
    'confidence': 'expression_confidence',
    'zone': 'attention_zone',
    'gaze_yaw': 'attention_gaze_yaw',
    'gaze_pitch': 'attention_gaze_pitch',
    'state': 'posture_state',
    'camera_distance': 'posture_camera_distance',
    'good_share': 'posture_good_share',
}

COLUMNS = (
    'stamp',
    'face_id',
    *(_NAMES.get(name, name) for names in _SOURCES.values() for name in names),
)
"""As in the CSV files of ``analyze`` and ``process_bag``."""

Row = list[Any]


class History:
    """
    A row for each person, twice a second.

    :param length_s: older rows are forgotten [s].
    :param words: enumerations by name of the field; rows have their names in lower case.
    """

    def __init__(self, length_s: float, words: Mapping[str, type[IntEnum]]) -> None:
        self.length_s = length_s
        self._words = words
        self._rows: deque[Row] = deque()
        self._due_s = -math.inf
        self._lock = threading.Lock()

    def add(self, stamp_s: float, people: Iterable[Mapping[str, Any]]) -> list[Row]:
        """
        Keep the readings of an image, if it is time; return the rows made of them.

        :param stamp_s: header time [s]; going back forgets everything.
        :param people: each with ``id``, and ``emotion``, ``fatigue``, ``attention`` and
            ``posture`` as the fields of their messages or None.
        """
        if stamp_s < self._due_s - 2 * PERIOD_S:
            self.clear()
        if stamp_s < self._due_s:
            return []
        self._due_s = stamp_s + PERIOD_S
        rows = [[stamp_s, person['id'], *self._values(person)] for person in people]
        with self._lock:
            self._rows.extend(rows)
            while self._rows and self._rows[0][0] < stamp_s - self.length_s:
                self._rows.popleft()
        return rows

    def rows(self) -> list[Row]:
        """Return what is kept, the oldest first; from any thread."""
        with self._lock:
            return list(self._rows)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._rows.clear()
        self._due_s = -math.inf

    def _values(self, person: Mapping[str, Any]) -> Iterable[Any]:
        for source, names in _SOURCES.items():
            fields = person.get(source) or {}
            for name in names:
                value = fields.get(name)
                if value is not None and name in self._words:
                    value = self._words[name](value).name.lower()
                yield value
