# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The readings of a recording in short: what was read for how long, and what happened."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from enum import IntEnum
from typing import Any

from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.emotion.expression import EXPRESSIONS
from aitable_ros.perception.events import EventKind
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.perception.posture.states import Posture

BIN_S = 10
"""Readings are summed over so long [s]; a minute is a whole number of them."""

HELD_S = 1.0
"""So long a reading stands at most for the time after it; the nodes' rates are 5 Hz and more."""

FORMAT = 1


def _columns(prefix: str, kinds: Iterable[str]) -> tuple[str, ...]:
    return tuple(f'{prefix}_{kind}_s' for kind in kinds)


def _names(kinds: type[IntEnum]) -> list[str]:
    return [kind.name.lower() for kind in kinds]


LEVELS = _columns('level', _names(FatigueLevel))
EXPRESSION_TIMES = _columns('expression', (*EXPRESSIONS, 'uncertain', 'unknown'))
ZONES = _columns('zone', _names(Zone))
POSTURES = _columns('posture', _names(Posture))
SEEING = _columns('image', _names(Seeing))
EVENTS = tuple(f'{kind.name.lower()}_events' for kind in EventKind)
TIMES = ('present_s', 'eyes_measured_s', 'eyes_closed_s', 'blinks_valid_s')
MEANS = ('perclos', 'valence', 'arousal', 'camera_distance')
"""Each with ``..._valid_s``: how long it was measured."""

SUMS = (
    *TIMES,
    *EVENTS,
    *LEVELS,
    *EXPRESSION_TIMES,
    *ZONES,
    *POSTURES,
    *(f'{name}_valid_s' for name in MEANS),
    *('recorded_s', 'nobody_s', *SEEING),
)
COLUMNS = ('recording', 'table', 'day', 'minute', 'person', *SUMS, *MEANS, 'blinks_per_min')
"""Of the table of minutes. The row without a person is that of the camera and the table."""


class Digest:
    """
    Sums readings up, in header time: seconds, not images.

    What comes with an image stands until the next one, :data:`HELD_S` at most. Takes the same as
    :class:`~aitable_ros.tools.support.tables.ReadingTable`, so that what writes tables can write
    this, too.

    :param recording: what it is called.
    :param table: whose it is.
    """

    def __init__(self, recording: str, table: str = '') -> None:
        self.recording, self.table = recording, table
        self.pictures: list[tuple[float, bytes]] = []
        """Stamp [s] and JPEG."""
        self._bins: defaultdict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        self._events: list[dict[str, Any]] = []
        self._backends: Counter[str] = Counter()
        self._images = 0
        self._first_s = self._last_s = math.nan
        self._present: list[str] = []
        self._seeing = Seeing.CLEAR
        self._held: dict[tuple[str, str], tuple[float, Mapping[str, Any]]] = {}

    def add_seen(self, stamp_s: float, seeing: int, backend: str, people: Iterable[str]) -> None:
        """
        Begin an image: time goes on to it. Images out of order are counted only.

        :param stamp_s: its header time [s].
        :param seeing: what can be seen in it, as in FaceArray.
        :param backend: what found its faces.
        :param people: ids of its faces.
        """
        self._images += 1
        self._backends.update(one for one in backend.split(', ') if one)
        if math.isnan(self._first_s):
            self._first_s = self._last_s = stamp_s
        if stamp_s >= self._last_s:
            self._pass(stamp_s)
            self._present, self._seeing = list(people), Seeing(seeing)

    def add_image(
        self,
        source: str,
        stamp_s: float,
        faces: Iterable[Any],
        emotions: Mapping[str, Any],
        fatigues: Mapping[str, Mapping[str, Any]],
        posture: Mapping[str, Any] | None = None,
        attentions: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Take the readings of the image that was begun; see ``ReadingTable.add_image``."""
        for kind, readings in (('fatigue', fatigues), ('attention', attentions or {})):
            for person, fields in readings.items():
                self._held[kind, person] = stamp_s, fields
        for person, one in emotions.items():
            fields = {'label': one.label, 'valence': one.valence, 'arousal': one.arousal}
            self._held['emotion', person] = stamp_s, fields
            if one.reading:
                self._backends[f'emotion by {one.reading}: {one.backend}'] += 1
        if posture is not None:
            whose = posture['person_id']
            if not whose and len(self._present) == 1:
                whose = self._present[0]
            self._held['posture', whose] = stamp_s, posture

    def add_event(
        self, kind: int, person: str, start_s: float, duration_s: float, value: float
    ) -> None:
        """Take an event, as aitable_msgs/Event has it."""
        name = EventKind(kind).name.lower()
        if kind == EventKind.POSTURE_CHANGED and math.isfinite(value):
            what = Posture(int(value)).name.lower()
        else:
            what = ''
        event = {'kind': name, 'person': person, 'start_s': round(start_s, 3), 'what': what}
        event['duration_s'] = round(duration_s, 3) if math.isfinite(duration_s) else None
        self._events.append(event)
        counted_s = start_s + duration_s if kind == EventKind.LEFT else start_s
        self._bins[math.floor(counted_s / BIN_S), person][f'{name}_events'] += 1

    def _pass(self, now_s: float) -> None:
        """Let time go on: the last readings stood until now."""
        lasted_s = min(now_s - self._last_s, HELD_S)
        at_s, self._last_s = self._last_s, now_s
        place = math.floor(at_s / BIN_S)
        camera = self._bins[place, '']
        camera['recorded_s'] += lasted_s  # type: ignore[assignment]
        camera[f'image_{self._seeing.name.lower()}_s'] += lasted_s  # type: ignore[assignment]
        if not self._present:
            camera['nobody_s'] += lasted_s  # type: ignore[assignment]
        for person in dict.fromkeys((*self._present, '')):
            into = self._bins[place, person]
            for name, weight in self._stood(person, at_s):
                into[name] += weight * lasted_s  # type: ignore[assignment]

    def _stood(self, person: str, at_s: float) -> Iterable[tuple[str, float]]:
        """Give the columns to which what is known of a person adds, and how much a second."""

        def held(kind: str) -> Mapping[str, Any] | None:
            since_s, fields = self._held.get((kind, person), (-math.inf, {}))
            return fields if at_s - since_s < HELD_S else None

        posture = held('posture')
        if posture is not None:
            yield f'posture_{Posture(posture["state"]).name.lower()}_s', 1.0
            yield from _mean('camera_distance', posture['camera_distance'])
        if not person:
            return
        yield 'present_s', 1.0
        fatigue, attention, emotion = held('fatigue'), held('attention'), held('emotion')
        if fatigue is not None:
            yield f'level_{FatigueLevel(fatigue["level"]).name.lower()}_s', 1.0
            yield 'eyes_measured_s', float(fatigue['visibility'] == 0)
            yield 'eyes_closed_s', float(fatigue['eyes_closed'])
            yield 'blinks_valid_s', float(fatigue['blinks_valid'])
            yield from _mean('perclos', fatigue['perclos'])
        if attention is not None:
            yield f'zone_{Zone(attention["zone"]).name.lower()}_s', 1.0
        if emotion is not None:
            yield f'expression_{emotion["label"]}_s', 1.0
            yield from _mean('valence', emotion['valence'])
            yield from _mean('arousal', emotion['arousal'])

    def content(self) -> dict[str, Any]:
        """Return all of it, for JSON: sums that are 0 are left out."""
        bins = [
            {'start_s': place * BIN_S, 'person': person}
            | {name: round(value, 6) for name, value in sorted(sums.items()) if value}
            for (place, person), sums in sorted(self._bins.items())
        ]
        return {
            'format': FORMAT,
            'recording': self.recording,
            'table': self.table,
            'start_s': self._first_s if self._images else None,
            'end_s': self._last_s if self._images else None,
            'images': self._images,
            'bin_s': BIN_S,
            'backends': dict(self._backends.most_common()),
            'bins': bins,
            'events': sorted(self._events, key=lambda one: (one['start_s'], one['kind'])),
        }


def _mean(name: str, value: float) -> Iterable[tuple[str, float]]:
    if math.isfinite(value):
        yield name, float(value)
        yield f'{name}_valid_s', 1.0


def summed(bins: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """
    Add bins up; what was measured is averaged over the time that it was, None: it was not.

    :param bins: of ``content()['bins']``.
    """
    total: Counter[str] = Counter()
    for one in bins:
        total.update({k: v for k, v in one.items() if k not in ('start_s', 'person')})
    row: dict[str, float | None] = {name: round(total[name], 6) for name in SUMS}
    for name in MEANS:
        known_s = total[f'{name}_valid_s']
        row[name] = total[name] / known_s if known_s > 0.0 else None
    watched_s = total['blinks_valid_s']
    row['blinks_per_min'] = 60.0 * total['blink_events'] / watched_s if watched_s > 0.0 else None
    return row


def minutes(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the rows of a recording in the table of minutes: one a person and minute.

    :param content: of :meth:`Digest.content`.
    """
    grouped: defaultdict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for one in content['bins']:
        grouped[one['start_s'] // 60, one['person']].append(one)
    rows = []
    for (minute, person), bins in sorted(grouped.items()):
        start = datetime.fromtimestamp(60 * minute, timezone.utc)
        rows.append(
            {
                'recording': content['recording'],
                'table': content['table'],
                'day': f'{start:%Y-%m-%d}',
                'minute': f'{start:%Y-%m-%dT%H:%M}Z',
                'person': person,
                **summed(bins),
            }
        )
    return rows
