# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""When and how the eyelids of the sample close: its truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aitable_ros.simulation.script import LidClosure, Span

PERIOD_S = 20.0
"""The sample's motions repeat after this time."""

CLOSURES = tuple(
    LidClosure(start_s, start_s + duration_s)
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

SQUINTS = (Span(7.1, 7.9, value=0.65), Span(18.5, 19.5, value=0.65))
"""One period's narrowed eyes, which no one should take for closed; value: least openness."""


def closures_until(duration_s: float) -> tuple[LidClosure, ...]:
    """
    List the closures of a sequence.

    :param duration_s: length of the sequence; the schedule repeats every :data:`PERIOD_S`.
    :returns: the closures, in order, whose lid motion ends within the sequence.
    """
    periods = math.ceil(duration_s / PERIOD_S)
    repeated = (
        LidClosure(closure.start_s + n * PERIOD_S, closure.end_s + n * PERIOD_S)
        for n in range(periods)
        for closure in CLOSURES
    )
    return tuple(closure for closure in repeated if closure.lids_end_s <= duration_s)


def openness_at(time_s: float, closures: Sequence[LidClosure]) -> float:
    """
    Tell how far both eyes are open.

    :param time_s: seconds from the first frame.
    :param closures: what :func:`closures_until` returned.
    :returns: height of the lid opening relative to the open eye's: 0 shut .. 1 open.
    """
    openness = min((float(closure.openness(time_s)) for closure in closures), default=1.0)
    for squint in SQUINTS:
        way = (time_s % PERIOD_S - squint.start_s) / squint.duration_s
        if 0.0 < way < 1.0:
            narrowed = 1 - (1 - squint.value) * (0.5 - 0.5 * math.cos(2 * math.pi * way))
            openness = min(openness, narrowed)
    return openness
