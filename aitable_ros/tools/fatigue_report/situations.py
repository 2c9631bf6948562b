# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""People and situations that the analysis of fatigue has to get right, all synthetic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.fatigue.monitor import FatigueState
from aitable_ros.simulation.script import LidClosure, Person, Script, Span, random_script
from aitable_ros.tools.fatigue_report.recording import Recording, record

PEOPLE = tuple(
    Person(open_ear=open_ear, closed_share=closed_share)
    for open_ear, closed_share in ((0.15, 0.28), (0.22, 0.07), (0.30, 0.28), (0.40, 0.42))
)
"""Narrow to wide eyes, without and with glasses."""


def looking_down_script(kind: str) -> tuple[Script, Person]:
    """
    Make a minute of looking down after half a minute of looking up, with blinks throughout.

    :param kind: 'slightly': 20 degrees; 'far': 40 degrees, where open eyes measure like closed
        ones; 'eyes only': the head upright, the lids at 0.45 of their opening.
    :returns: the script and the person.
    """
    rng = np.random.default_rng(5)
    base = random_script(
        rng,
        90.0,
        droops_per_min=0,
        microsleeps_per_min=0,
        yawns_per_min=0,
        talks_per_min=0,
        turns_per_min=0,
        looks_down_per_min=0,
        dropouts_per_min=0,
    )
    blinks = tuple(replace(b, end_s=b.start_s + 0.1) for b in base.blinks[::3])
    script = replace(base, blinks=blinks)
    person = Person()
    if kind == 'slightly':
        return replace(script, looks_down=(Span(30, 90, math.radians(20)),)), person
    if kind == 'far':
        return replace(script, looks_down=(Span(30, 90, math.radians(40)),)), person
    if kind == 'eyes only':
        return replace(script, lowered=(Span(30, 90, 0.45),)), person
    raise ValueError(f"expected 'slightly', 'far' or 'eyes only', got {kind!r}")


def nodding_off_script() -> Script:
    """Make someone whose head sinks by 20 degrees and whose eyes close for four seconds then."""
    return Script(
        duration_s=60.0,
        blinks=tuple(LidClosure(t, t + 0.15) for t in (8.0, 12.0, 16.0, 20.0, 24.0)),
        microsleeps=(LidClosure(40.5, 44.5, closing_s=0.4, opening_s=0.3),),
        looks_down=(Span(40.0, 45.0, math.radians(20)),),
    )


def level_shares(who: str, person: Person, duration_s: float, seed: int) -> list[float]:
    """
    Tell how much of the time each level is given.

    :param who: 'awake': 15 blinks a minute of 80 to 250 ms, talk, turns and looks down, a yawn
        every ten minutes; 'tired': slower blinks, a droop a minute, a microsleep every two.
    :param person: whose eyes.
    :param duration_s: length [s].
    :param seed: of script and noise.
    :returns: one share per :class:`FatigueLevel`.
    """
    rng = np.random.default_rng(seed)
    if who == 'awake':
        script = random_script(
            rng,
            duration_s,
            droops_per_min=0.0,
            microsleeps_per_min=0.0,
            yawns_per_min=0.1,
            longest_blink_s=0.25,
        )
    elif who == 'tired':
        script = random_script(rng, duration_s, droops_per_min=1.0, microsleeps_per_min=0.5)
    else:
        raise ValueError(f"expected 'awake' or 'tired', got {who!r}")
    recording = record(script, person, 20.0, seed)
    ends_s = [stamp_s for stamp_s, _, _ in recording.levels[1:]] + [duration_s]
    shares = [0.0] * len(FatigueLevel)
    for (stamp_s, level, _), end_s in zip(recording.levels, ends_s):
        shares[level] += (end_s - stamp_s) / duration_s
    return shares


def eyes() -> list[Person]:
    """List eyes from narrow to wide, without and with glasses."""
    return [
        Person(open_ear=open_ear, closed_share=closed_share)
        for open_ear in (0.15, 0.22, 0.30, 0.40)
        for closed_share in (0.07, 0.28, 0.42)
    ]


def same_minutes(person: Person) -> Recording:
    """Film three minutes of a tired person, always the same."""
    script = random_script(
        np.random.default_rng(11),
        180.0,
        droops_per_min=1.0,
        microsleeps_per_min=1.0,
        dropouts_per_min=0,
        turns_per_min=0,
    )
    return record(script, person, 30.0, seed=1)


def verdict(state: FatigueState) -> tuple[int, int, int, FatigueLevel]:
    """Give what has to be the same for all eyes."""
    return state.blink_count, state.long_closure_count, state.microsleep_count, state.level
