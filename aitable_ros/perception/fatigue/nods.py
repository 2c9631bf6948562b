# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Nodding off: the head drops while the eyes droop or are closed.

Nodding is a usual sign in driver monitoring (the "nodding frequency" of Bergasa et al., "Real-Time
System for Monitoring Driver Vigilance", IEEE Trans. ITS 7(1), 2006), but no definition is common
property. Ours, every number of it a choice:

1. The fall: within ``max_fall_s`` the pitch grows by at least ``min_drop_rad``. Falls are judged
   against the head's own posture of that moment, so neither a camera's tilt nor a habitual
   posture matters.
2. The eyes: from ``lead_s`` before the fall until the head has fallen, the openness was at most
   ``droop_openness`` in ``min_droop_share`` of the time in which it was measured, which must be
   ``min_observed_s`` at least. Who falls asleep closes the eyes first and drops the head then; who
   looks down at the table has open eyes before, or blinks once on the way. What the eyes look like
   when the head is down already decides nothing: seen from above, open eyes seem closed.
3. The end: the head comes up by ``recover_share`` of the drop, or stays down for ``max_down_s``,
   or is not seen for ``max_gap_s``. Then the nod is reported, once. Until the end there is no
   other fall, be it a nod or not: who looks down deliberately and then further down does not nod.

A head that sinks more slowly than that is no nod, nor is one that drops at the very moment in
which the eyes begin to close; PERCLOS and the long closures tell of these.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from aitable_ros.perception.fatigue.events import Event
from aitable_ros.perception.maths.settings import Settings, setting

# More than any camera delivers in the few seconds that are remembered: memory stays bounded.
_MAX_SAMPLES = 1024

# The fall begins where the pitch has grown by this share of the drop: noise before it is no fall.
_FALL_START_SHARE = 0.15


@dataclass(frozen=True)
class NodSettings(Settings):
    """
    What counts as a nod; the module's docstring explains the terms.

    :param min_drop_rad: smallest drop [rad].
    :param max_fall_s: longest time in which the head drops that far [s].
    :param droop_openness: eyes at or below this openness droop.
    :param lead_s: how long before the fall the eyes are looked at [s].
    :param min_droop_share: smallest share of that time, and of the fall, with drooping eyes.
    :param min_observed_s: smallest time in it in which the openness was measured [s].
    :param recover_share: the nod is over when the head has come up by this share of its drop.
    :param max_down_s: a head that is down for longer is no longer nodding [s].
    :param max_gap_s: longest time for which one sample may stand [s].
    :raises ValueError: for a value out of range.
    """

    min_drop_rad: float = setting(math.radians(15.0), 0.05, 1.57)
    max_fall_s: float = setting(1.5, 0.1, 10.0)
    droop_openness: float = setting(0.4, 0.0, 1.0)
    lead_s: float = setting(1.0, 0.0, 10.0)
    min_droop_share: float = setting(0.6, 0.0, 1.0)
    min_observed_s: float = setting(0.4, 0.0, 10.0)
    recover_share: float = setting(0.5, 0.05, 1.0)
    max_down_s: float = setting(5.0, 0.1, 60.0)
    max_gap_s: float = setting(0.5, 0.05, 5.0)


class _Sample(NamedTuple):
    stamp_s: float
    pitch_rad: float
    openness: float


@dataclass
class _Fall:
    start_s: float
    upright_rad: float
    lowest_rad: float
    drowsy: bool


class NodDetector:
    """
    Counts the nods of one person.

    :param settings: thresholds.
    """

    def __init__(self, settings: NodSettings | None = None) -> None:
        self.settings = settings or NodSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.count = 0
        """Nods since the beginning."""
        self._clear()

    def update(self, stamp_s: float, pitch_rad: float, openness: float) -> Event | None:
        """
        Take one sample.

        :param stamp_s: header time [s]; after the last one's.
        :param pitch_rad: pitch of the head, down is positive [rad]; NaN: not measured.
        :param openness: of the eyes, 0 closed .. 1 open; NaN: not measured, which is what it
            should be while the head is pitched too far for the lids to be seen.
        :returns: the nod that ended with this sample, if any.
        """
        cut = self._cut_at_gap(stamp_s)
        if not math.isfinite(pitch_rad):
            return cut
        sample = _Sample(stamp_s, pitch_rad, openness)
        self._samples.append(sample)
        while self._uprights and self._uprights[-1].pitch_rad >= pitch_rad:
            self._uprights.pop()
        self._uprights.append(sample)
        oldest_s = stamp_s - self.settings.max_fall_s - self.settings.lead_s
        while self._samples[0].stamp_s < oldest_s:
            self._samples.popleft()
        if self._fall is None:
            self._look_for_fall()
            return cut
        return self._follow(self._fall)

    def _clear(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=_MAX_SAMPLES)
        # Those after which nobody was as upright any more: the first is the most upright.
        self._uprights: deque[_Sample] = deque(maxlen=_MAX_SAMPLES)
        self._fall: _Fall | None = None
        self._armed_s = -math.inf

    def _cut_at_gap(self, stamp_s: float) -> Event | None:
        """Begin anew when the pitch was not measured for too long."""
        if not self._samples or stamp_s - self._samples[-1].stamp_s <= self.settings.max_gap_s:
            return None
        fall, last_s = self._fall, self._samples[-1].stamp_s
        self._clear()
        return None if fall is None else self._end(fall, last_s, recovered=False)

    def _look_for_fall(self) -> None:
        settings = self.settings
        now = self._samples[-1]
        since_s = max(now.stamp_s - settings.max_fall_s, self._armed_s)
        while self._uprights[0].stamp_s < since_s:
            self._uprights.popleft()
        upright_rad = self._uprights[0].pitch_rad
        drop_rad = now.pitch_rad - upright_rad
        if drop_rad < settings.min_drop_rad:
            return
        still_rad = upright_rad + _FALL_START_SHARE * drop_rad
        start_s = max(one.stamp_s for one in self._uprights if one.pitch_rad <= still_rad)
        observed_s, drooping_s = self._eyes(start_s - settings.lead_s)
        drowsy = (
            observed_s > 0.0
            and observed_s >= settings.min_observed_s
            and drooping_s >= settings.min_droop_share * observed_s
        )
        self._fall = _Fall(start_s, upright_rad, now.pitch_rad, drowsy)

    def _eyes(self, since_s: float) -> tuple[float, float]:
        """Return for how long the eyes were measured, and how much of it they drooped [s]."""
        observed_s = drooping_s = 0.0
        for sample, following in pairwise(self._samples):
            if math.isnan(sample.openness):
                continue
            # The first sample's interval may begin before the time looked at.
            interval_s = following.stamp_s - max(sample.stamp_s, since_s)
            if interval_s > 0.0:
                observed_s += interval_s
                if sample.openness <= self.settings.droop_openness:
                    drooping_s += interval_s
        return observed_s, drooping_s

    def _follow(self, fall: _Fall) -> Event | None:
        now = self._samples[-1]
        fall.lowest_rad = max(fall.lowest_rad, now.pitch_rad)
        depth_rad = fall.lowest_rad - fall.upright_rad
        recovered = now.pitch_rad <= fall.lowest_rad - self.settings.recover_share * depth_rad
        if not recovered and now.stamp_s - fall.start_s <= self.settings.max_down_s:
            return None
        self._fall = None
        self._armed_s = now.stamp_s
        return self._end(fall, now.stamp_s, recovered=recovered)

    def _end(self, fall: _Fall, end_s: float, *, recovered: bool) -> Event | None:
        if not fall.drowsy:
            return None
        self.count += 1
        depth_rad = fall.lowest_rad - fall.upright_rad
        return Event(fall.start_s, end_s, depth_rad, truncated=not recovered)
