# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""When and how the eyelids of the sample close: its truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CLOSED_OPENNESS = 0.2
"""An eye counts as closed at this openness and below (80 % closed: the P80 of PERCLOS)."""

CLOSING_S = 0.08
"""How long the lids take from open to shut; blinks close about twice as fast as they open."""

OPENING_S = 0.16
"""How long the lids take from shut to open."""

# The lids move along a half cosine, 1 -> 0: this share of the way is spent below CLOSED_OPENNESS.
_CLOSED_SHARE = 1 - math.acos(2 * CLOSED_OPENNESS - 1) / math.pi

SHORTEST_CLOSURE_S = _CLOSED_SHARE * (CLOSING_S + OPENING_S)
"""A closure without any hold: the lids touch and open at once."""


@dataclass(frozen=True)
class Closure:
    """
    A time during which both eyes are closed: their openness is at most 0.2.

    :param start_s: when the closing lids pass openness 0.2, in seconds from the first frame.
    :param end_s: when the opening lids pass openness 0.2 again.
    :raises ValueError: when the closure is shorter than the lids can do
        (:data:`SHORTEST_CLOSURE_S`).
    """

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not self.end_s - self.start_s >= SHORTEST_CLOSURE_S:
            raise ValueError(
                f'a closure takes at least {SHORTEST_CLOSURE_S:.3f} s, '
                f'got {self.start_s} to {self.end_s} s'
            )

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return self.end_s - self.start_s

    @property
    def lids_start_s(self) -> float:
        """When the lids begin to close."""
        return self.start_s - (1 - _CLOSED_SHARE) * CLOSING_S

    @property
    def lids_end_s(self) -> float:
        """When the lids are fully open again."""
        return self.end_s + (1 - _CLOSED_SHARE) * OPENING_S

    def openness(self, time_s: float) -> float:
        """
        Tell how far the eyes are open.

        :param time_s: seconds from the first frame.
        :returns: 1 before and after the closure, 0 while shut, between the two along a half
            cosine.
        """
        if time_s <= self.lids_start_s or time_s >= self.lids_end_s:
            return 1.0
        if time_s < self.lids_start_s + CLOSING_S:
            way = (time_s - self.lids_start_s) / CLOSING_S
        elif time_s > self.lids_end_s - OPENING_S:
            way = (self.lids_end_s - time_s) / OPENING_S
        else:
            return 0.0
        return 0.5 + 0.5 * math.cos(math.pi * way)


@dataclass(frozen=True)
class Squint:
    """
    A time of narrowed eyes that is no closure, along a full cosine wave.

    :param start_s: when the lids begin to narrow, in seconds from the first frame.
    :param end_s: when they are fully open again.
    :param openness_min: openness in the middle.
    :raises ValueError: when it would be a closure, or does not end after its start.
    """

    start_s: float
    end_s: float
    openness_min: float

    def __post_init__(self) -> None:
        if not (self.start_s < self.end_s and CLOSED_OPENNESS < self.openness_min <= 1):
            raise ValueError(f'not a squint: {self}')

    def openness(self, time_s: float) -> float:
        """Tell how far the eyes are open, as :meth:`Closure.openness`."""
        if not self.start_s < time_s < self.end_s:
            return 1.0
        phase = 2 * math.pi * (time_s - self.start_s) / (self.end_s - self.start_s)
        return 1 - (1 - self.openness_min) * (0.5 - 0.5 * math.cos(phase))


PERIOD_S = 20.0
"""The sample's motions repeat after this time."""

CLOSURES = tuple(
    Closure(start_s, start_s + duration_s)
    for start_s, duration_s in (
        (1.213, 0.15),
        (2.941, 0.10),
        (4.627, 0.20),
        (6.318, 0.12),
        (8.404, 0.30),
        (10.156, 0.25),
        (12.022, 2.00),
        (15.733, 0.40),
        (17.509, 0.10),
    )
)
"""One period: eight blinks of 100 to 400 ms and one closure of 2 s."""

SQUINTS = (Squint(7.1, 7.9, openness_min=0.65), Squint(18.5, 19.5, openness_min=0.65))
"""One period's narrowed eyes, which no one should take for closed."""


def closures_until(duration_s: float) -> tuple[Closure, ...]:
    """
    List the closures of a sequence.

    :param duration_s: length of the sequence; the schedule repeats every :data:`PERIOD_S`.
    :returns: the closures, in order, whose lid motion ends within the sequence.
    """
    periods = math.ceil(duration_s / PERIOD_S)
    repeated = (
        Closure(closure.start_s + n * PERIOD_S, closure.end_s + n * PERIOD_S)
        for n in range(periods)
        for closure in CLOSURES
    )
    return tuple(closure for closure in repeated if closure.lids_end_s <= duration_s)


def openness_at(time_s: float, closures: Sequence[Closure]) -> float:
    """
    Tell how far both eyes are open.

    :param time_s: seconds from the first frame.
    :param closures: what :func:`closures_until` returned.
    :returns: height of the lid opening relative to the open eye's: 0 shut .. 1 open.
    """
    closed = min((closure.openness(time_s) for closure in closures), default=1.0)
    return min(closed, *(squint.openness(time_s % PERIOD_S) for squint in SQUINTS))
