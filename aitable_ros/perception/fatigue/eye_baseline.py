# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What this person's open and closed eyes measure: the references that turn EAR into openness.

No constant threshold on the EAR fits everybody: open eyes measure 0.15 to 0.40, and closed ones
by a factor of six differently with and without glasses (irlume issues 173 and 377). Openness is
therefore (EAR - closed) / (open - closed), both references being the person's own:

* *open*: a high percentile of the EARs seen, by pitch of the head, since eyelids follow the gaze
  down and the opening is foreshortened;
* *closed*: a share of the open one, at first what photographs of people gave, then what the
  person's own blinks go down to.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from aitable_ros.perception.maths.settings import Settings, setting

_BINS = 160
_MAX_EAR = 0.8
_BIN_EAR = _MAX_EAR / _BINS

_PITCH_STEP_RAD = math.radians(10.0)
_PITCH_BINS = 4
"""Bins of pitch to either side of the one in the middle: up to 40 degrees."""

_KEPT_BLINKS = 16
_KEPT_SAMPLES = 64
_FLOOR_SHARE = 0.4
_FLOOR_QUANTILE = 0.4

_MAX_UNIT = 1e6


CLOSED_OPENNESS = 0.2
"""Eyes that are no more open are called closed (P80)."""

UNREFINED_CLOSED_RATIO = 0.62
"""``closed_ratio`` for lids that FaceMesh measured, which hardly close (median of photographs)."""

UNREFINED_MAX_CLOSED_RATIO = 0.8
"""``max_closed_ratio`` for the same (choice)."""


@dataclass(frozen=True)
class BaselineSettings(Settings):
    """
    How the references of one eye are learned.

    :param percentile: the open eye is this percentile of the EARs seen; high, so that blinks
        do not count, not the highest, so that single wrong frames do not either (90: choice).
    :param memory_s: time constant with which old samples fade [s] (300: drooping lids have to
        stay for over ten minutes before they pass for the person's normal ones).
    :param min_observed_s: calibrated after this much observed time [s] (choice: longer than any
        blink by far).
    :param min_open_ear: no open eye is narrower than this: an eye that never was wider is not
        calibrated (0.12: a fifth below the narrowest open eyes to be expected, 0.15).
    :param closed_ratio: EAR of a closed eye as a share of the open one's, until the person's own
        is known. What the landmark network gives for closed lids, not 0 (0.14: of 201 photographs
        of closed eyes 90 % then are, of 191 squinting ones 2 %, of 67 that look down 27 %; the
        median is 0.20. docs/fatigue.md).
    :param closed_ratio_weight: as how many blinks of the person that counts; at 1000 the
        person's own is hardly learned.
    :param min_closed_ratio: lower limit of the person's own (choice).
    :param max_closed_ratio: upper limit; raise it for landmarks that hardly see lids close
        (0.45: 0.42 was measured with glasses, irlume issue 173).
    :param learn_openness: at this openness or below nothing is learned about the open eye
        (choice: well above 0.2 = closed, and below any open eye).
    :param learn_max_yaw_rad: nothing is learned while the head is turned farther [rad].
    :param frontal_pitch_rad: up to this pitch an eye is expected to measure the same [rad].
    :param pitched_share: share of the open EAR that is expected at ``pitched_rad`` until the
        person's own is known; linear in between (0.6: 0.28 to 0.63 were measured looking down,
        irlume issue 173, and faces pitched farther are not measured at all).
    :param pitched_rad: see ``pitched_share`` [rad].
    :param restart_ratio: EARs this much above the open reference prove it wrong: it was learned
        from closed eyes or from someone else; everything starts anew (1.4: eyes opened wide
        stay below).
    :param restart_s: ... when they last for this long [s].
    :param foreign_openness: eyes that never are more open, and blink, are somebody else's open
        eyes, or other glasses or light made them narrow: everything starts anew (0.4: where eyes
        are called open again; lids that look down were measured at 0.45).
    :param foreign_blinks: ... after so many blinks (choice) ...
    :param foreign_s: ... and this much observed time, since lids that droop are the person's [s].
    :param closed_blinks: fewer are enough, and no time, where such eyes would be called closed:
        closed eyes do not blink (choice).
    :param max_blink_s: dips longer than this may be glances down: they can lower the closed
        reference, not raise it [s].
    :param max_gap_s: longest time for which one sample may stand [s].
    :raises ValueError: for a value out of range.
    """

    percentile: float = setting(90.0, 50.0, 100.0, dynamic=False)
    memory_s: float = setting(300.0, 10.0, 36000.0, dynamic=False)
    min_observed_s: float = setting(2.0, 0.1, 60.0, dynamic=False)
    min_open_ear: float = setting(0.12, 0.0, 0.5, dynamic=False)
    closed_ratio: float = setting(0.14, 0.0, 0.9, dynamic=False)
    closed_ratio_weight: float = setting(1.0, 0.1, 1000.0, dynamic=False)
    min_closed_ratio: float = setting(0.02, 0.0, 0.9, dynamic=False)
    max_closed_ratio: float = setting(0.45, 0.0, 0.95, dynamic=False)
    learn_openness: float = setting(0.35, 0.0, 0.9, dynamic=False)
    learn_max_yaw_rad: float = setting(math.radians(20.0), 0.05, 1.57, dynamic=False)
    frontal_pitch_rad: float = setting(math.radians(10.0), 0.0, 1.0, dynamic=False)
    pitched_share: float = setting(0.6, 0.1, 1.0, dynamic=False)
    pitched_rad: float = setting(math.radians(30.0), 0.1, 1.57, dynamic=False)
    restart_ratio: float = setting(1.4, 1.05, 5.0, dynamic=False)
    restart_s: float = setting(0.5, 0.1, 60.0, dynamic=False)
    foreign_openness: float = setting(0.4, 0.0, 0.9, dynamic=False)
    foreign_blinks: int = setting(5, 1, 100, dynamic=False)
    foreign_s: float = setting(30.0, 1.0, 600.0, dynamic=False)
    closed_blinks: int = setting(3, 1, 100, dynamic=False)
    max_blink_s: float = setting(0.5, 0.05, 5.0, dynamic=False)
    max_gap_s: float = setting(0.5, 0.05, 5.0, dynamic=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_closed_ratio <= self.max_closed_ratio:
            raise ValueError(f'need min_closed_ratio <= max_closed_ratio: {self}')
        if not self.frontal_pitch_rad < self.pitched_rad:
            raise ValueError(f'need frontal_pitch_rad < pitched_rad: {self}')


class EyeBaseline:
    """
    The open-eye and closed-eye EAR of one eye of one person, learned from what is seen.

    Fading, time-weighted histograms of EAR, one per 10 degrees of pitch, and the deepest points
    of the last blinks; constant memory.

    :param settings: how fast and from what to learn.
    """

    def __init__(self, settings: BaselineSettings | None = None) -> None:
        self.settings = settings or BaselineSettings()
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        count = 2 * _PITCH_BINS + 1
        self._seen = [_FadingPercentile(self.settings) for _ in range(count)]
        self._references = [(one, 1.0) for one in self._seen]
        self._open_ear: float | None = math.nan
        self._observed_s = 0.0
        self._last_s = math.nan
        self._above_s = 0.0
        self._narrow: EyeBaseline | None = None
        self._wide_s = 0.0
        self._blinks = 0
        self._dip: list[float] = []
        self._dip_start_s = math.nan
        self._floors: deque[float] = deque(maxlen=_KEPT_BLINKS)
        self._closed_ratio = self.settings.closed_ratio

    def update(
        self, stamp_s: float, ear: float, pitch_rad: float = 0.0, yaw_rad: float = 0.0
    ) -> bool:
        """
        Learn from one sample.

        :param stamp_s: header time [s]; not after the last one: nothing is learned.
        :param ear: eye aspect ratio; NaN: not measured.
        :param pitch_rad: of the head, down is positive [rad]; NaN: taken as 0.
        :param yaw_rad: of the head [rad]; NaN: taken as 0.
        :returns: whether what had been learned turned out wrong and was dropped.
        """
        settings = self.settings
        elapsed_s = stamp_s - self._last_s
        self._last_s = stamp_s
        if elapsed_s > settings.max_gap_s:
            self._dip.clear()
        if not elapsed_s > 0 or math.isnan(ear) or abs(yaw_rad) > settings.learn_max_yaw_rad:
            return False
        weight_s = min(elapsed_s, settings.max_gap_s)
        pitch_rad = 0.0 if math.isnan(pitch_rad) else pitch_rad
        calibrated = self.calibrated
        if calibrated:
            open_ear = self.open_ear_at(pitch_rad)
            self._above_s = (
                self._above_s + weight_s if ear > settings.restart_ratio * open_ear else 0.0
            )
            if self._above_s >= settings.restart_s:
                self.reset()
                self._last_s = stamp_s
                return True
            openness = self._openness(ear, open_ear)
            if self._is_foreign(stamp_s, ear, pitch_rad, yaw_rad, openness, weight_s):
                self.reset()
                self._last_s = stamp_s
                return True
            self._follow_dip(stamp_s, ear, openness, open_ear)
            # a closing eye tells nothing about the open one
            if openness <= settings.learn_openness:
                return False
        seen = self._seen[self._bin(pitch_rad)]
        before_s = seen.observed_s
        seen.add(ear, weight_s)
        if before_s == 0.0 or before_s < settings.min_observed_s <= seen.observed_s:
            self._find_references()
        self._observed_s += weight_s
        self._open_ear = None
        return False

    @property
    def calibrated(self) -> bool:
        """Whether enough was seen to trust the references."""
        return (
            self._observed_s >= self.settings.min_observed_s
            and self.open_ear >= self.settings.min_open_ear
        )

    @property
    def open_ear(self) -> float:
        """EAR of the open eye of an upright head; NaN before the first sample."""
        if self._open_ear is None:  # asked for many times for each sample
            self._open_ear = self.open_ear_at(0.0)
        return self._open_ear

    def open_ear_at(self, pitch_rad: float) -> float:
        """
        Tell the EAR of the open eye.

        :param pitch_rad: pitch of the head, down is positive [rad].
        :returns: between what was learned at the pitches nearest to this one; for pitches not
            seen yet, in proportion to what is usual. NaN before the first sample.
        """
        position = min(max(pitch_rad / _PITCH_STEP_RAD, -_PITCH_BINS), _PITCH_BINS) + _PITCH_BINS
        below = min(int(position), 2 * _PITCH_BINS - 1)
        share = position - below
        if share == 0.0:
            return self._bin_reference(below)
        return (1 - share) * self._bin_reference(below) + share * self._bin_reference(below + 1)

    def openness(self, ear: float, pitch_rad: float = 0.0) -> float:
        """
        Relate an EAR to this person's eye.

        :param ear: eye aspect ratio; NaN: not measured.
        :param pitch_rad: of the head, down is positive [rad]; NaN: taken as 0.
        :returns: 0 closed .. 1 open (clipped); NaN while not calibrated or not measured.
        """
        if math.isnan(ear) or not self.calibrated:
            return math.nan
        return self._openness(ear, self.open_ear_at(0.0 if math.isnan(pitch_rad) else pitch_rad))

    def _openness(self, ear: float, open_ear: float) -> float:
        closed_ear = self._closed_ratio * open_ear
        return min(max((ear - closed_ear) / (open_ear - closed_ear), 0.0), 1.0)

    def _usual_share(self, pitch_rad: float) -> float:
        """Tell which share of the upright head's open EAR is usual at a pitch."""
        settings = self.settings
        # looking up, the opening is foreshortened but the lids stay up
        beyond_rad = max(pitch_rad - settings.frontal_pitch_rad, 0.0)
        slope = (1 - settings.pitched_share) / (settings.pitched_rad - settings.frontal_pitch_rad)
        return max(1 - slope * beyond_rad, settings.pitched_share)

    def _bin(self, pitch_rad: float) -> int:
        steps = round(pitch_rad / _PITCH_STEP_RAD)
        return min(max(steps, -_PITCH_BINS), _PITCH_BINS) + _PITCH_BINS

    def _bin_reference(self, i: int) -> float:
        seen, share = self._references[i]
        return seen.ear * share

    def _find_references(self) -> None:
        """Find the bin that each bin goes by, and what share of that one is usual for it."""
        min_s = self.settings.min_observed_s
        known = [k for k, one in enumerate(self._seen) if one.observed_s > 0]
        usual = [
            self._usual_share((k - _PITCH_BINS) * _PITCH_STEP_RAD) for k in range(len(self._seen))
        ]
        self._references = []
        for i in range(len(self._seen)):
            nearest = max(known, key=lambda k: (self._seen[k].observed_s >= min_s, -abs(k - i)))
            self._references.append((self._seen[nearest], usual[i] / usual[nearest]))

    def _follow_dip(self, stamp_s: float, ear: float, openness: float, open_ear: float) -> None:
        """Learn the closed reference from dips of the openness: blinks, mostly."""
        if openness < 0.5:
            if not self._dip:
                self._dip_start_s = stamp_s
            if len(self._dip) < _KEPT_SAMPLES:
                self._dip.append(ear / open_ear)
            return
        if not self._dip or openness < 0.7:
            return
        dip = sorted(self._dip)
        self._dip.clear()
        lowest = dip[: max(int(_FLOOR_SHARE * len(dip)), 1)]
        floor = sum(lowest) / len(lowest)
        # A single sample may have caught the lids half way.
        brief = len(dip) > 1 and stamp_s - self._dip_start_s <= self.settings.max_blink_s
        self._blinks += brief
        if brief or floor < self._closed_ratio:
            self._floors.append(floor)
            self._relearn_closed()

    def _is_foreign(
        self,
        stamp_s: float,
        ear: float,
        pitch_rad: float,
        yaw_rad: float,
        openness: float,
        weight_s: float,
    ) -> bool:
        """Tell whether eyes that do not open blink as open eyes do, by what they would teach."""
        settings = self.settings
        if openness > settings.foreign_openness:
            self._wide_s += weight_s
            if self._wide_s >= settings.restart_s:
                self._narrow = None
            return False
        self._wide_s = 0.0
        if self._narrow is None:
            self._narrow = EyeBaseline(settings)
        narrow = self._narrow
        narrow.update(stamp_s, ear, pitch_rad, yaw_rad)
        if not narrow.calibrated:
            return False
        if self.openness(narrow.open_ear_at(pitch_rad), pitch_rad) <= CLOSED_OPENNESS:
            return narrow._blinks >= settings.closed_blinks
        return (
            narrow._blinks >= settings.foreign_blinks and narrow._observed_s >= settings.foreign_s
        )

    def _relearn_closed(self) -> None:
        settings = self.settings
        floors = sorted(self._floors)
        own = floors[int(_FLOOR_QUANTILE * (len(floors) - 1))]
        trust = len(floors) / (len(floors) + settings.closed_ratio_weight)
        ratio = trust * own + (1 - trust) * settings.closed_ratio
        upper = max(settings.max_closed_ratio, settings.closed_ratio)
        lower = min(settings.min_closed_ratio, settings.closed_ratio)
        self._closed_ratio = min(max(ratio, lower), upper)


class _FadingPercentile:
    """
    A percentile of what was seen, even within each bin of a histogram that fades.

    It moves by few bins from sample to sample, so it is followed rather than looked for, and new
    samples weigh more instead of old ones less: a sample touches a few numbers, not all bins.

    :param settings: which percentile, and how fast it fades.
    """

    def __init__(self, settings: BaselineSettings) -> None:
        self._share = settings.percentile / 100
        self._memory_s = settings.memory_s
        self._weights = [0.0] * _BINS
        self._unit = 1.0  # what a second weighs now
        self._total = self._below = 0.0  # in all bins, in those below the percentile's
        self._at = 0
        self.observed_s = 0.0
        self.ear = math.nan

    def add(self, ear: float, weight_s: float) -> None:
        """Take a sample that stands for so long."""
        weights = self._weights
        self._unit *= math.exp(weight_s / self._memory_s)
        i, weight = min(int(ear / _BIN_EAR), _BINS - 1), weight_s * self._unit
        weights[i] += weight
        self._total += weight
        self.observed_s += weight_s
        if i < self._at:
            self._below += weight
        if self._unit > _MAX_UNIT:
            self._weigh_anew()
        target = self._share * self._total
        i, below = self._at, self._below
        while i > 0 and below >= target:
            i -= 1
            below -= weights[i]
        # All of it is not beyond the topmost sample, however the sums were rounded.
        while below + weights[i] < target and any(weights[i + 1 :]):
            below += weights[i]
            i += 1
        self._at, self._below = i, below
        within = (target - below) / weights[i] if weights[i] > 0 else 0.5
        self.ear = (i + min(max(within, 0.0), 1.0)) * _BIN_EAR

    def _weigh_anew(self) -> None:
        """Keep the numbers small, and end their rounding errors."""
        self._weights[:] = [weight / self._unit for weight in self._weights]
        self._unit = 1.0
        self._total = sum(self._weights)
        self._below = sum(self._weights[: self._at])
