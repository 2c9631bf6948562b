# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is told at the end of ``analyze``: per face of a stream, per folder of pictures."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from aitable_ros.perception.emotion.expression import EmotionEstimate
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.fatigue.monitor import FatigueState
from aitable_ros.perception.observers import Observation
from aitable_ros.perception.posture.states import Posture
from aitable_ros.tools.analyze.inputs import Input


class Summaries:
    """Collects what is told."""

    def __init__(self) -> None:
        self._expressions: dict[tuple[str, str], _Expressions] = {}
        self._fatigues: dict[tuple[str, str], _Fatigue] = {}
        self._postures: dict[str, _Postures] = {}

    def add(self, item: Input, stamp_s: float, observation: Observation) -> None:
        """Take what was seen in the next image of an input."""
        for reading in observation.fatigue if item.is_stream else ():
            key = (item.name, reading.face.face_id)
            self._fatigues.setdefault(key, _Fatigue()).add(reading.state)
        for emotion in observation.emotion:
            face_id = emotion.face.face_id
            key = (item.name, face_id) if item.is_stream else (str(Path(item.name).parent), '')
            if key not in self._expressions:
                self._expressions[key] = _Expressions(item, face_id)
            self._expressions[key].add(emotion.estimate)
        if item.is_stream and observation.posture is not None:
            posture = observation.posture.state.posture
            self._postures.setdefault(item.name, _Postures()).add(stamp_s, posture)

    def lines(self) -> list[str]:
        """Return what is told, a line each."""
        lines = []
        for key in dict.fromkeys((*self._expressions, *self._fatigues)):
            expressions, fatigue = self._expressions.get(key), self._fatigues.get(key)
            parts = [str(expressions) if expressions else f'{key[0]} face {key[1]}: no expression']
            lines.append('; '.join([*parts, *([str(fatigue)] if fatigue else [])]))
        return lines + [f'{name}: posture: {one}' for name, one in self._postures.items()]


class _Expressions:
    """Of one face of a stream, or of the pictures of a folder."""

    def __init__(self, item: Input, face_id: str) -> None:
        self._unit = 'frame' if item.is_stream else 'face'
        self._labels: Counter[str] = Counter()
        self._planes: list[tuple[float, float]] = []
        if item.is_stream:
            self._title = f'{item.name} face {face_id}'
        else:
            assert item.path is not None
            self._title = f'pictures in {item.path.resolve().parent.name or "pictures"}'

    def add(self, estimate: EmotionEstimate) -> None:
        self._labels[estimate.label] += 1
        self._planes.append((estimate.valence, estimate.arousal))

    def __str__(self) -> str:
        count = len(self._planes)
        shares = ', '.join(f'{k} {100 * n / count:.0f} %' for k, n in self._labels.most_common())
        known = [values[np.isfinite(values)] for values in np.array(self._planes).T]
        valence, arousal = (f'{one.mean():+.2f}' if one.size else '-' for one in known)
        frames = _counted(count, self._unit)
        return f'{self._title}: {frames}: {shares}; mean valence {valence}, arousal {arousal}'


class _Fatigue:
    """Of one face of a stream; figures are the last ones, and the highest where these differ."""

    def __init__(self) -> None:
        self._state: FatigueState | None = None
        self._blinks_valid = False
        self._highest_perclos = math.nan
        self._highest_level = FatigueLevel.UNKNOWN

    def add(self, state: FatigueState) -> None:
        self._state = state
        self._blinks_valid |= state.blinks_valid
        self._highest_perclos = float(np.fmax(self._highest_perclos, state.perclos.p80))
        self._highest_level = max(self._highest_level, state.level)

    def __str__(self) -> str:
        state: Any = self._state
        perclos, highest = state.perclos, self._highest_perclos
        share = f'PERCLOS {perclos.p80:.1%}' if perclos.valid else 'PERCLOS not valid'
        if not math.isnan(highest) and f'{highest:.1%}' != f'{perclos.p80:.1%}':
            share += f' (highest {highest:.1%})'
        level = f'level {state.level.name.lower()}'
        if self._highest_level > state.level:
            level += f' (highest {self._highest_level.name.lower()})'
        blinks = _counted(state.blink_count, 'blink')
        return ', '.join(
            (
                blinks if self._blinks_valid else f'{blinks} (not valid)',
                _counted(state.long_closure_count, 'long closure'),
                f'of them {_counted(state.microsleep_count, "microsleep")}',
                _counted(state.yawn_count, 'yawn'),
                _counted(state.nod_count, 'nod'),
                share,
                level,
            )
        )


class _Postures:
    """How much of a stream each posture took."""

    def __init__(self) -> None:
        self._seconds: Counter[Posture] = Counter()
        self._last: tuple[float, Posture] | None = None

    def add(self, stamp_s: float, posture: Posture) -> None:
        # the same file may be given twice
        if self._last is not None and stamp_s > self._last[0]:
            self._seconds[self._last[1]] += stamp_s - self._last[0]  # type: ignore[assignment]
        self._last = (stamp_s, posture)

    def __str__(self) -> str:
        parts = [
            f'{posture.name.lower().replace("_", " ")} {seconds:.1f} s'
            for posture, seconds in self._seconds.most_common()
        ]
        return ', '.join(parts) or 'too short'


def _counted(count: int, name: str) -> str:
    return f'{count} {name}' + ('' if count == 1 else 's')


def free_path(folder: Path, stem: str, suffix: str, taken: set[Path]) -> Path:
    """Name a file that is not taken yet, and take it."""
    path, number = folder / f'{stem}{suffix}', 2
    while path.resolve() in taken:
        path, number = folder / f'{stem}_{number}{suffix}', number + 1
    taken.add(path.resolve())
    return path
