# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The faces of an image together with what fatigue says of each of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from aitable_msgs.msg import FaceArray, Fatigue
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.results import faces_taken

PATIENCE = 10
"""Faces are left out when so many later ones wait for them (choice: fatigue's own queue)."""


@dataclass
class FacesWithFatigue:
    """
    The faces of one image.

    :param faces: as they came.
    :param fatigues: of each of them, by face id.
    """

    faces: FaceArray
    fatigues: dict[str, Fatigue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stamp_ns = stamp_to_ns(self.faces.header.stamp)
        self.missing = {face.face_id for face in faces_taken(self.faces.faces)}

    def take(self, fatigue: Fatigue) -> bool:
        """Take a reading, if it belongs here."""
        if fatigue.face_id not in self.missing:
            return False
        if stamp_to_ns(fatigue.header.stamp) != self.stamp_ns:
            return False
        self.missing.discard(fatigue.face_id)
        self.fatigues[fatigue.face_id] = fatigue
        return True


class FacesAndFatigue:
    """Brings two topics together by their stamps, in the order of the faces."""

    def __init__(self) -> None:
        self.incomplete = 0
        """How many images were left out, since fatigue did not come."""
        self.clear()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting: deque[FacesWithFatigue] = deque()
        self._early: deque[Fatigue] = deque(maxlen=64)

    def faces(self, message: FaceArray) -> Iterator[FacesWithFatigue]:
        """Take the faces of an image; give what is complete with it."""
        entry = FacesWithFatigue(message)
        self._early = deque((one for one in self._early if not entry.take(one)), maxlen=64)
        self._waiting.append(entry)
        return self._complete()

    def fatigue(self, message: Fatigue) -> Iterator[FacesWithFatigue]:
        """Take the fatigue of a face; give what is complete with it."""
        if not any(entry.take(message) for entry in self._waiting):
            self._early.append(message)
        return self._complete()

    def _complete(self) -> Iterator[FacesWithFatigue]:
        waiting = self._waiting
        while waiting and (not waiting[0].missing or len(waiting) > PATIENCE):
            entry = waiting.popleft()
            if entry.missing:
                self.incomplete += 1
            else:
                yield entry
