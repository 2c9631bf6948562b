# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a synthetic person does over time: the known truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CLOSED_OPENNESS = 0.2
"""An eye counts as closed at this openness and below (80 % closed: the P80 of PERCLOS)."""

# Lids move along a half cosine between open and shut.
_CLOSED_SHARE = 1 - math.acos(2 * CLOSED_OPENNESS - 1) / math.pi


@dataclass(frozen=True)
class Span:
    """
    A time with a strength whose meaning depends on the list it is in.

    :param start_s: begin [s].
    :param end_s: end [s].
    :param value: how much: an angle [rad], a MAR, an openness.
    :raises ValueError: when it does not end after its begin.
    """

    start_s: float
    end_s: float
    value: float = 0.0

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s:
            raise ValueError(f'a span must end after its begin: {self}')

    @property
    def duration_s(self) -> float:
        """Length [s]."""
        return self.end_s - self.start_s

    def overlaps(self, other: Span, margin_s: float = 0.0) -> bool:
        """Tell whether both have a time in common, or nearly."""
        return self.start_s < other.end_s + margin_s and other.start_s < self.end_s + margin_s


@dataclass(frozen=True)
class LidClosure(Span):
    """
    A time during which the openness of both eyes is at most 0.2.

    :param closing_s: how long the lids take from open to shut [s].
    :param opening_s: and from shut to open [s]; blinks close about twice as fast as they open.
    :raises ValueError: when the closure is shorter than lids at this speed can do.
    """

    closing_s: float = 0.08
    opening_s: float = 0.16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.duration_s < _CLOSED_SHARE * (self.closing_s + self.opening_s):
            raise ValueError(f'lids cannot do that: {self}')

    @property
    def lids_start_s(self) -> float:
        """When the lids begin to close."""
        return self.start_s - (1 - _CLOSED_SHARE) * self.closing_s

    @property
    def lids_end_s(self) -> float:
        """When the lids are fully open again."""
        return self.end_s + (1 - _CLOSED_SHARE) * self.opening_s

    def openness(self, times_s: Array | float) -> Array:
        """Tell how far the eyes are open: 1 before and after, 0 while shut."""
        closing = (times_s - self.lids_start_s) / self.closing_s
        opening = (self.lids_end_s - times_s) / self.opening_s
        way = np.clip(np.minimum(closing, opening), 0.0, 1.0)
        return 0.5 + 0.5 * np.cos(math.pi * way)


@dataclass(frozen=True)
class Script:
    """
    What a person does. Times are header times.

    :param start_s: begin [s].
    :param duration_s: length [s].
    :param blinks: closures of 80 to 400 ms.
    :param droops: longer closures, below a second.
    :param microsleeps: closures of over a second.
    :param yawns: spans with the mouth wide open; value: the widest MAR.
    :param talks: spans of talk; value: the widest MAR.
    :param turns: spans with the head turned; value: yaw [rad].
    :param looks_down: spans of looking down; value: pitch [rad].
    :param lowered: spans with lids lowered by a gaze down with the head upright; value: openness.
    :param dropouts: spans without a face.
    """

    duration_s: float
    start_s: float = 0.0
    blinks: tuple[LidClosure, ...] = ()
    droops: tuple[LidClosure, ...] = ()
    microsleeps: tuple[LidClosure, ...] = ()
    yawns: tuple[Span, ...] = ()
    talks: tuple[Span, ...] = ()
    turns: tuple[Span, ...] = ()
    looks_down: tuple[Span, ...] = ()
    lowered: tuple[Span, ...] = ()
    dropouts: tuple[Span, ...] = ()

    @property
    def closures(self) -> tuple[LidClosure, ...]:
        """All times with closed eyes, in order."""
        return tuple(sorted(self.blinks + self.droops + self.microsleeps, key=lambda c: c.start_s))

    def openness(self, times_s: Array) -> Array:
        """Tell how far the eyes are open, 0..1, at each of the ascending times."""
        openness = np.ones_like(times_s)
        for closure in self.closures:
            part = _between(times_s, closure.lids_start_s, closure.lids_end_s)
            openness[part] = np.minimum(openness[part], closure.openness(times_s[part]))
        for span in self.lowered:
            part = _between(times_s, span.start_s, span.end_s)
            way = _plateau(times_s[part], span, 0.25)
            openness[part] *= 1 - (1 - span.value) * way
        return openness

    def mar(self, times_s: Array) -> Array:
        """Tell the mouth aspect ratio."""
        mar = np.full_like(times_s, 0.02)
        for span in self.talks:
            part = _between(times_s, span.start_s, span.end_s)
            seconds = times_s[part] - span.start_s
            # syllables of changing rate and strength; the mouth nearly closes between them
            phase = 2 * math.pi * (4.0 * seconds + 0.6 * np.sin(2.1 * seconds))
            strength = 0.6 + 0.4 * np.sin(1.3 * seconds + span.start_s)
            mar[part] = 0.03 + span.value * strength * (0.5 - 0.5 * np.cos(phase))
        for span in self.yawns:
            part = _between(times_s, span.start_s, span.end_s)
            rise = 0.25 * span.duration_s
            mar[part] = np.maximum(mar[part], span.value * _plateau(times_s[part], span, rise))
        return mar

    def yaw_rad(self, times_s: Array) -> Array:
        """Tell how far the head is turned [rad]."""
        return _sum(times_s, self.turns, 0.3)

    def pitch_rad(self, times_s: Array) -> Array:
        """Tell how far the head is pitched down [rad]."""
        return _sum(times_s, self.looks_down, 0.4)

    def has_face(self, times_s: Array) -> npt.NDArray[np.bool_]:
        """Tell whether the face is found."""
        found = np.ones(times_s.shape, dtype=bool)
        for span in self.dropouts:
            found[_between(times_s, span.start_s, span.end_s)] = False
        return found

    def hidden(self, span: Span, max_angle_rad: float, margin_s: float = 0.0) -> bool:
        """Tell whether any of a span is unseen: no face, or turned or pitched too far."""
        return any(span.overlaps(other, margin_s) for other in self.unseen(max_angle_rad))

    def unseen(self, max_angle_rad: float) -> list[Span]:
        """List the times without a face, and with the head turned or pitched too far."""
        away = [s for s in self.turns + self.looks_down if abs(s.value) > max_angle_rad]
        return [*self.dropouts, *away]

    def perclos(self, from_s: float, to_s: float, max_angle_rad: float) -> float:
        """
        Tell the share of the seen time with openness <= 0.2; the truth.

        :param from_s: begin [s].
        :param to_s: end [s].
        :param max_angle_rad: with the head turned or pitched farther nothing is seen.
        :returns: NaN when nothing was seen.
        """
        step_s = 0.001
        times_s = np.arange(from_s, to_s, step_s)
        seen = self.has_face(times_s)
        for angle in (self.yaw_rad(times_s), self.pitch_rad(times_s)):
            seen &= np.abs(angle) <= max_angle_rad
        closed = self.openness(times_s) <= CLOSED_OPENNESS
        return float(closed[seen].mean()) if seen.any() else math.nan


@dataclass(frozen=True)
class Person:
    """
    What a person's eyes and mouth measure.

    :param open_ear: EAR of the open eye, upright and facing the camera.
    :param closed_share: EAR of the closed eye as a share of it (0.07 without and 0.42 with
        glasses: irlume issue 173; 0.28: median of photographs).
    :param eye_difference: how much larger the left eye's EAR is, as a share.
    :param lids_follow: share of the open EAR that is left looking down by 25 degrees.
    :param looking_down_ear: EAR of open eyes pitched down by 30 degrees and more (0.07 to 0.16:
        irlume issue 173).
    :param eye_distance_px: between the middles of the eyes, facing the camera [pixels].
    :param ear_noise: standard deviation of the EAR from frame to frame (attention mesh: 0.004 on
        the sample, 0.007 on a real video with its movements).
    :param ear_drift: standard deviation of its slow errors, as a share of the EAR (attention mesh
        on the sample: 0.035, iris_landmark 0.03).
    :param ear_drift_s: time constant of those [s] (0.26: the same).
    :param mar_noise: standard deviation of the MAR (0.012: FaceMesh on the sample).
    :param pose_noise_rad: standard deviation of yaw and pitch [rad].
    """

    open_ear: float = 0.30
    closed_share: float = 0.28
    eye_difference: float = 0.05
    lids_follow: float = 0.7
    looking_down_ear: float = 0.10
    eye_distance_px: float = 70.0
    ear_noise: float = 0.004
    ear_drift: float = 0.03
    ear_drift_s: float = 0.26
    mar_noise: float = 0.012
    pose_noise_rad: float = math.radians(1.5)


def random_script(
    rng: np.random.Generator,
    duration_s: float,
    *,
    start_s: float = 0.0,
    droops_per_min: float = 0.6,
    microsleeps_per_min: float = 0.6,
    yawns_per_min: float = 0.5,
    talks_per_min: float = 1.0,
    turns_per_min: float = 0.7,
    looks_down_per_min: float = 0.7,
    dropouts_per_min: float = 0.4,
    longest_blink_s: float = 0.4,
) -> Script:
    """
    Invent what a person does.

    Closures, yawns, turns, looks down and dropouts do not overlap each other; talk overlaps the
    closures.

    :param rng: source of randomness.
    :param duration_s: length [s].
    :param start_s: begin [s].
    :param droops_per_min: and the others: how often on average; there are 15 blinks a minute.
    :param longest_blink_s: blinks take 80 ms to this long [s].
    """
    from_s = start_s + 6.0  # at first the person only looks
    free = _Free(rng, from_s, start_s + duration_s - 2.0)

    def closure(low_s: float, high_s: float, slow: float) -> LidClosure | None:
        span = free.take(rng.uniform(low_s, high_s), 0.5)
        if span is None:
            return None
        return LidClosure(span.start_s, span.end_s, closing_s=0.08 * slow, opening_s=0.16 * slow)

    def count(per_min: float) -> range:
        return range(int(rng.poisson(per_min * duration_s / 60.0)))

    yawns = [
        replace(span, value=rng.uniform(0.75, 1.0))
        for _ in count(yawns_per_min)
        if (span := free.take(rng.uniform(4.0, 7.0), 1.0))
    ]
    microsleeps = [
        c for _ in count(microsleeps_per_min) if (c := closure(1.15, 4.0, rng.uniform(1, 4)))
    ]
    looks_down = [
        replace(span, value=math.radians(rng.choice((rng.uniform(10, 22), rng.uniform(34, 45)))))
        for _ in count(looks_down_per_min)
        if (span := free.take(rng.uniform(3.0, 10.0), 1.0))
    ]
    turns = [
        replace(span, value=math.radians(rng.choice((-1, 1)) * rng.uniform(36, 70)))
        for _ in count(turns_per_min)
        if (span := free.take(rng.uniform(1.0, 5.0), 1.0))
    ]
    dropouts = [
        span for _ in count(dropouts_per_min) if (span := free.take(rng.uniform(0.3, 4.0), 1.0))
    ]
    droops = [c for _ in count(droops_per_min) if (c := closure(0.6, 0.85, rng.uniform(1, 2)))]
    blinks = [c for _ in count(15.0) if (c := closure(0.08, longest_blink_s, 1.0))]
    talking = _Free(rng, from_s, start_s + duration_s - 2.0)
    talking.taken.extend(yawns)
    talks = [
        replace(span, value=rng.uniform(0.2, 0.65))
        for _ in count(talks_per_min)
        if (span := talking.take(rng.uniform(2.0, 10.0), 0.5))
    ]
    return Script(
        duration_s=duration_s,
        start_s=start_s,
        blinks=_ordered(blinks),
        droops=_ordered(droops),
        microsleeps=_ordered(microsleeps),
        yawns=_ordered(yawns),
        talks=_ordered(talks),
        turns=_ordered(turns),
        looks_down=_ordered(looks_down),
        dropouts=_ordered(dropouts),
    )


class _Free:
    """Finds room for spans that keep their distance."""

    def __init__(self, rng: np.random.Generator, from_s: float, to_s: float) -> None:
        self._rng = rng
        self._from_s, self._to_s = from_s, to_s
        self.taken: list[Span] = []

    def take(self, duration_s: float, margin_s: float) -> Span | None:
        if self._to_s - duration_s <= self._from_s:
            return None
        for _ in range(20):
            start_s = self._rng.uniform(self._from_s, self._to_s - duration_s)
            span = Span(start_s, start_s + duration_s)
            if not any(span.overlaps(other, margin_s) for other in self.taken):
                self.taken.append(span)
                return span
        return None


def _ordered(spans: Sequence) -> tuple:
    return tuple(sorted(spans, key=lambda span: span.start_s))


def _between(times_s: Array, from_s: float, to_s: float) -> slice:
    low, high = np.searchsorted(times_s, (from_s, to_s))
    return slice(int(low), int(high))


def _plateau(times_s: Array, span: Span, edge_s: float) -> Array:
    """Rise from 0 to 1 along a half cosine, stay, and fall."""
    inside = np.minimum(times_s - span.start_s, span.end_s - times_s) / edge_s
    return 0.5 - 0.5 * np.cos(math.pi * np.clip(inside, 0.0, 1.0))


def _sum(times_s: Array, spans: Sequence[Span], edge_s: float) -> Array:
    total = np.zeros_like(times_s)
    for span in spans:
        part = _between(times_s, span.start_s, span.end_s)
        total[part] += span.value * _plateau(times_s[part], span, edge_s)
    return total


def drift(rng: np.random.Generator, person: Person, stamps_s: Array) -> Array:
    """Make the slow errors of both eyes, (2, N), as shares of the EAR."""
    count = stamps_s.size
    keep = np.exp(-np.diff(stamps_s, prepend=-math.inf) / person.ear_drift_s)
    fresh = rng.normal(0, person.ear_drift, (2, count)) * np.sqrt(1 - keep**2)
    drift = np.empty((2, count))
    for eye in range(2):
        value = 0.0
        for i, (k, f) in enumerate(zip(keep.tolist(), fresh[eye].tolist())):
            value = k * value + f
            drift[eye, i] = value
    return drift
