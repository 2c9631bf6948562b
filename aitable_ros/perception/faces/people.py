# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is kept of each person in sight, by face id, and how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from aitable_ros.perception.images.stream_order import StreamOrder

P = TypeVar('P')

MAX_PEOPLE = 64
"""So many people are kept (choice: four times as many as faces are followed at once)."""


@dataclass
class _Kept(Generic[P]):
    state: P
    seen_s: float
    tracked_s: float


class People(Generic[P]):
    """
    State by face id, in header time; of :data:`MAX_PEOPLE` at most, those seen last.

    :param make: makes the state of a person who is new.
    :param forget_after_s: who was not seen for longer is forgotten [s].
    """

    def __init__(self, make: Callable[[], P], forget_after_s: float) -> None:
        self.make = make
        self.forget_after_s = forget_after_s
        self.stream = StreamOrder()
        self.clear()

    def clear(self) -> None:
        """Forget everybody."""
        self._kept: dict[str, _Kept[P]] = {}
        self.stream.reset()

    def advance(self, stamp_s: float) -> float:
        """
        Go on to the next image, and forget who left; where another stream begins, everybody.

        :param stamp_s: header time of the image [s].
        :returns: when the image counts as taken [s]: where it is late, with the one before.
        :raises ValueError: when the stamp is not finite.
        """
        now_s = self.stream.advance(stamp_s)
        assert now_s is not None  # whose camera it is was asked where the faces were found
        if self.stream.anew:
            self._kept.clear()
        for face_id, kept in list(self._kept.items()):
            if now_s - kept.seen_s > self.forget_after_s:
                del self._kept[face_id]
        return now_s

    def see(self, face_id: str, tracked_s: float = math.inf) -> P:
        """
        Return the state of a person who is in the present image.

        :param face_id: who.
        :param tracked_s: time since the id was given [s]: where it is less than before, what finds
            faces was started again, and the id is somebody else's.
        """
        kept = self._kept.pop(face_id, None)
        if kept is None or (tracked_s < kept.tracked_s and not self.stream.is_late):
            kept = _Kept(self.make(), 0.0, tracked_s)
        kept.seen_s = self.stream.now_s
        kept.tracked_s = max(tracked_s, kept.tracked_s)
        # the one not seen for longest is the first
        self._kept[face_id] = kept
        if len(self._kept) > MAX_PEOPLE:
            del self._kept[next(iter(self._kept))]
        return kept.state

    def items(self) -> list[tuple[str, P]]:
        """Give everybody's face id and state."""
        return [(face_id, kept.state) for face_id, kept in self._kept.items()]

    def keep(self, known: Collection[str]) -> None:
        """Forget all but these."""
        self._kept = {face_id: kept for face_id, kept in self._kept.items() if face_id in known}

    def change(self, function: Callable[[P], P]) -> None:
        """Replace everybody's state by what a function makes of it."""
        for kept in self._kept.values():
            kept.state = function(kept.state)

    def __iter__(self) -> Iterator[P]:
        return iter([kept.state for kept in self._kept.values()])

    def __len__(self) -> int:
        return len(self._kept)
