# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is kept of each person in sight, by face id, and how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

P = TypeVar('P')


class People(Generic[P]):
    """
    State by face id, in header time.

    :param make: makes the state of a person who is new.
    :param forget_after_s: who was not seen for longer is forgotten [s].
    """

    def __init__(self, make: Callable[[], P], forget_after_s: float) -> None:
        self.make = make
        self.forget_after_s = forget_after_s
        self.clear()

    def clear(self) -> None:
        """Forget everybody."""
        self._states: dict[str, P] = {}
        self._seen_s: dict[str, float] = {}
        self._now_s = -math.inf

    def advance(self, stamp_s: float) -> bool:
        """
        Go on to the next image, and forget who left; where time went backwards, everybody.

        :param stamp_s: header time of the image [s].
        :returns: whether time went backwards.
        """
        went_back = stamp_s < self._now_s
        if went_back:
            self.clear()
        self._now_s = stamp_s
        for face_id, seen_s in list(self._seen_s.items()):
            if stamp_s - seen_s > self.forget_after_s:
                del self._seen_s[face_id], self._states[face_id]
        return went_back

    def see(self, face_id: str) -> P:
        """Return the state of a person who is in the present image."""
        self._seen_s[face_id] = self._now_s
        state = self._states.get(face_id)
        if state is None:
            state = self._states[face_id] = self.make()
        return state

    def others(self, seen: Collection[str]) -> Iterator[P]:
        """Give the states of those who are not in the present image."""
        return (state for face_id, state in self._states.items() if face_id not in seen)

    def change(self, function: Callable[[P], P]) -> None:
        """Replace everybody's state by what a function makes of it."""
        self._states = {face_id: function(state) for face_id, state in self._states.items()}

    def __iter__(self) -> Iterator[P]:
        return iter(self._states.values())

    def __len__(self) -> int:
        return len(self._states)
