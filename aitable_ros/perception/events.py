# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What has just happened to a person: each event is told once, when it is over or certain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class EventKind(IntEnum):
    """What happened."""

    BLINK = 0
    LONG_CLOSURE = 1
    MICROSLEEP = 2
    YAWN = 3
    NOD = 4
    LOOKED_AWAY = 5
    CAME = 6
    LEFT = 7
    POSTURE_CHANGED = 8
    SAT_TOO_LONG = 9


@dataclass(frozen=True)
class PersonEvent:
    """
    An event.

    :param kind: what happened.
    :param person: face id of the person; empty: not known.
    :param start_s: when it began, in header time [s].
    :param duration_s: how long it lasted [s]; NaN: it is a moment.
    :param value: how much, as aitable_msgs/Event says of each kind; NaN: nothing.
    :param truncated: begin or end were not seen: the duration is a lower bound.
    """

    kind: EventKind
    person: str
    start_s: float
    duration_s: float
    value: float
    truncated: bool = False
