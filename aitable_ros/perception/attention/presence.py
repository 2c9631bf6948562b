# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Who is there: people who came and people who left."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from aitable_ros.perception.events import EventKind, PersonEvent
from aitable_ros.perception.faces.people import MAX_PEOPLE
from aitable_ros.perception.maths.settings import Settings, setting


@dataclass(frozen=True)
class PresenceSettings(Settings):
    """
    When somebody is there.

    :param came_after_s: a face that has been followed for this long is a person who came [s] (2:
        choice; what is taken for a face in passing is shorter).
    :param left_after_s: who was not seen for this long has left [s] (30: choice; who picks up a
        pencil or turns round is sooner back). Time in which the camera saw nothing does not count.
    :raises ValueError: for a value out of range.
    """

    came_after_s: float = setting(2.0, 0.0, 60.0)
    left_after_s: float = setting(30.0, 0.0, 3600.0)


@dataclass
class _Visit:
    start_s: float
    seen_s: float
    unseen_s: float = 0.0
    told: bool = False


class Presence:
    """
    Follows who is there, by face id.

    :param settings: times.
    """

    def __init__(self, settings: PresenceSettings | None = None) -> None:
        self.settings = settings or PresenceSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._visits: dict[str, _Visit] = {}
        self._last_s = math.nan

    def __len__(self) -> int:
        """Return how many people are known."""
        return len(self._visits)

    @property
    def known(self) -> frozenset[str]:
        """Everybody who was seen and has not left."""
        return frozenset(self._visits)

    @property
    def present(self) -> frozenset[str]:
        """Who came and has not left."""
        return frozenset(face_id for face_id, visit in self._visits.items() if visit.told)

    def update(
        self, stamp_s: float, ids: Collection[str], *, blind: bool = False
    ) -> list[PersonEvent]:
        """
        Take the faces of the next image.

        :param stamp_s: header time [s]; not before the last one's.
        :param ids: of the faces.
        :param blind: the camera sees nothing: nobody is missed.
        :returns: who came, and who left.
        """
        passed_s = stamp_s - self._last_s if stamp_s > self._last_s else 0.0
        self._last_s = stamp_s
        for face_id in ids:
            visit = self._visits.setdefault(face_id, _Visit(stamp_s, stamp_s))
            visit.seen_s, visit.unseen_s = stamp_s, 0.0
        events = list(self._leave(ids, 0.0 if blind else passed_s))
        for face_id in ids:
            visit = self._visits[face_id]
            if not visit.told and stamp_s - visit.start_s >= self.settings.came_after_s:
                visit.told = True
                nan = math.nan
                events.append(PersonEvent(EventKind.CAME, face_id, visit.start_s, nan, nan))
        while len(self._visits) > MAX_PEOPLE:
            oldest = min(self._visits, key=lambda face_id: self._visits[face_id].seen_s)
            events += self._gone(oldest)
        return events

    def _leave(self, ids: Collection[str], passed_s: float) -> Iterator[PersonEvent]:
        for face_id, visit in list(self._visits.items()):
            if face_id in ids:
                continue
            visit.unseen_s += passed_s
            if visit.unseen_s >= self.settings.left_after_s:
                yield from self._gone(face_id)

    def _gone(self, face_id: str) -> Iterator[PersonEvent]:
        visit = self._visits.pop(face_id)
        if visit.told:
            stay_s = visit.seen_s - visit.start_s
            yield PersonEvent(EventKind.LEFT, face_id, visit.start_s, stay_s, math.nan)
