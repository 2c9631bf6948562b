# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Compare what the analysis of fatigue found with what happened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aitable_ros.perception.fatigue.monitor import FatigueSettings
from aitable_ros.simulation.script import Person, Script, Span, random_script
from aitable_ros.tools.fatigue_report.recording import Recording, record


@dataclass
class EventScore:
    """
    How many events were found.

    :param hits: true ones that were found, and found ones that are true.
    :param missed: true ones that were not.
    :param false: found ones that are not true.
    :param errors: duration found less the true one, in frame intervals; of hits.
    """

    hits: int = 0
    missed: int = 0
    false: int = 0
    errors: list[float] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of the found ones that are true; NaN without any."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else math.nan

    @property
    def recall(self) -> float:
        """Share of the true ones that were found; NaN without any."""
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN without any event."""
        total = 2 * self.hits + self.missed + self.false
        return 2 * self.hits / total if total else math.nan

    def error_quantile(self, share: float) -> float:
        """Give a quantile of the duration's absolute error, in frame intervals."""
        return float(np.quantile(np.abs(self.errors), share)) if self.errors else math.nan

    def add(self, other: EventScore) -> None:
        """Add another recording's."""
        self.hits += other.hits
        self.missed += other.missed
        self.false += other.false
        self.errors += other.errors


def match(
    true: Sequence[Span],
    found: Sequence[tuple[float, float]],
    ignored: Sequence[Span],
    *,
    tolerance_s: float,
    interval_s: float,
) -> EventScore:
    """
    Match found events with true ones by overlap, one to one, in order.

    :param true: what has to be found.
    :param found: begin and end of each found event.
    :param ignored: what may be found or not.
    :param tolerance_s: events this far apart still match.
    :param interval_s: the frame interval.
    """
    score = EventScore()
    free = list(found)
    for event in sorted(true, key=lambda e: e.start_s):
        overlapping = [
            f
            for f in free
            if f[0] <= event.end_s + tolerance_s and f[1] >= event.start_s - tolerance_s
        ]
        if not overlapping:
            score.missed += 1
            continue
        best = min(overlapping, key=lambda f: abs(f[0] - event.start_s) + abs(f[1] - event.end_s))
        free.remove(best)
        score.hits += 1
        score.errors.append((best[1] - best[0] - event.duration_s) / interval_s)
    for start_s, end_s in free:
        if not any(
            start_s <= e.end_s + tolerance_s and end_s >= e.start_s - tolerance_s for e in ignored
        ):
            score.false += 1
    return score


@dataclass
class Scores:
    """
    All scores of some recordings.

    :param blinks: closures of 80 to 400 ms.
    :param microsleeps: closures of over 1 s.
    :param yawns: yawns.
    :param perclos_errors: error of the mean PERCLOS of each recording, in points.
    :param window_errors: error of each window, in points.
    """

    blinks: EventScore = field(default_factory=EventScore)
    microsleeps: EventScore = field(default_factory=EventScore)
    yawns: EventScore = field(default_factory=EventScore)
    perclos_errors: list[float] = field(default_factory=list)
    window_errors: list[float] = field(default_factory=list)

    def add(self, script: Script, recording: Recording, rate_hz: float) -> None:
        """Score a recording against its script."""
        settings = FatigueSettings()
        limit_rad = settings.visibility.max_yaw_rad
        interval_s = 1 / rate_hz
        margin_s = 0.5

        def seen(spans: Sequence[Span]) -> list[Span]:
            return [s for s in spans if not script.hidden(s, limit_rad, margin_s)]

        self.blinks.add(
            match(
                seen(script.blinks),
                [(b.start_s, b.end_s) for b in recording.blinks],
                [s for s in script.blinks if s not in seen(script.blinks)]
                + script.unseen(limit_rad),
                tolerance_s=0.15,
                interval_s=interval_s,
            )
        )
        self.microsleeps.add(
            match(
                seen(script.microsleeps),
                [(s, s) for s in recording.microsleep_stamps_s],
                [],
                tolerance_s=0.0,
                interval_s=interval_s,
            )
        )
        self.yawns.add(
            match(
                seen(script.yawns),
                [(y.start_s, y.end_s) for y in recording.yawns],
                [],
                tolerance_s=0.0,
                interval_s=interval_s,
            )
        )
        errors = []
        for stamp_s, state in recording.states:
            value = state.perclos
            if value.valid and stamp_s >= script.start_s + value.window_s:
                truth = script.perclos(stamp_s - value.window_s, stamp_s, limit_rad)
                errors.append(100 * (value.p80 - truth))
        self.window_errors += errors
        if errors:
            self.perclos_errors.append(float(np.mean(errors)))


def score(
    rate_hz: float,
    people: Sequence[Person],
    *,
    drop: float = 0.0,
    duration_s: float = 600.0,
    seed: int = 0,
) -> Scores:
    """
    Film everything that can happen, with each person, and score it.

    :param rate_hz: of the camera.
    :param people: who is filmed, each with another script.
    :param drop: share of frames lost.
    :param duration_s: of each recording [s].
    :param seed: of scripts and noise.
    """
    scores = Scores()
    for k, person in enumerate(people):
        script = random_script(np.random.default_rng((seed, k)), duration_s)
        recording = record(script, person, rate_hz, seed=seed * 1000 + k, drop=drop)
        scores.add(script, recording, rate_hz)
    return scores
