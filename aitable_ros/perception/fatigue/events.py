# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is told of a closure of the eyes, a yawn or a nod."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """
    One closure of both eyes, yawn or nod.

    :param start_s: header time at which it began, between two samples where they tell [s].
    :param end_s: and ended, or was last seen [s].
    :param size: of a closure how far openness dropped from what it was before, 0..1; of a yawn
        the widest MAR; of a nod how far the head dropped [rad].
    :param truncated: begin or end was not seen, the duration is a lower bound; of a nod: the head
        did not come up again.
    """

    start_s: float
    end_s: float
    size: float
    truncated: bool

    @property
    def duration_s(self) -> float:
        """Its length [s]."""
        return self.end_s - self.start_s


def crossing_share(before: float, after: float, level: float) -> float:
    """Tell at which share of the way between two samples a value passed a level, 0..1."""
    if before == after:
        return 1.0
    return min(max((before - level) / (before - after), 0.0), 1.0)
