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
    def true(self) -> int:
        """How many there were."""
        return self.hits + self.missed

    @property
    def precision(self) -> float:
        """Share of the found ones that are true; NaN without any."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else math.nan

    @property
    def recall(self) -> float:
        """Share of the true ones that were found; NaN without any."""
        return self.hits / self.true if self.true else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN without any event."""
        total = 2 * self.hits + self.missed + self.false
        return 2 * self.hits / total if total else math.nan

    def error_quantile(self, share: float) -> float:
        """Give a quantile of the duration's absolute error, in frame intervals."""
        return float(np.quantile(np.abs(self.errors), share)) if self.errors else math.nan

    def add(
        self,
        true: Sequence[Span],
        found: Sequence[tuple[float, float]],
        ignored: Sequence[Span] = (),
        *,
        interval_s: float,
        tolerance_s: float = 0.0,
    ) -> None:
        """
        Match found events with true ones by overlap, one to one, in order.

        :param true: what has to be found.
        :param found: begin and end of each found event.
        :param ignored: what may be found or not.
        :param interval_s: the frame interval.
        :param tolerance_s: events this far apart still match.
        """

        def touch(event: Span, span: tuple[float, float]) -> bool:
            low_s, high_s = event.start_s - tolerance_s, event.end_s + tolerance_s
            return span[0] <= high_s and span[1] >= low_s

        free = list(found)
        for event in sorted(true, key=lambda e: e.start_s):
            touching = [span for span in free if touch(event, span)]
            if not touching:
                self.missed += 1
                continue
            best = min(touching, key=lambda f: abs(f[0] - event.start_s) + abs(f[1] - event.end_s))
            free.remove(best)
            self.hits += 1
            self.errors.append((best[1] - best[0] - event.duration_s) / interval_s)
        self.false += sum(not any(touch(event, span) for event in ignored) for span in free)


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
        limit_rad = FatigueSettings().visibility.max_yaw_rad
        interval_s = 1 / rate_hz

        def seen(spans: Sequence[Span]) -> list[Span]:
            return [s for s in spans if not script.hidden(s, limit_rad, margin_s=0.5)]

        blinks = seen(script.blinks)
        self.blinks.add(
            blinks,
            [(b.start_s, b.end_s) for b in recording.blinks],
            [s for s in script.blinks if s not in blinks] + script.unseen(limit_rad),
            interval_s=interval_s,
            tolerance_s=0.15,
        )
        slept = [(s, s) for s in recording.microsleep_stamps_s]
        self.microsleeps.add(seen(script.microsleeps), slept, interval_s=interval_s)
        yawned = [(y.start_s, y.end_s) for y in recording.yawns]
        self.yawns.add(seen(script.yawns), yawned, interval_s=interval_s)
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
