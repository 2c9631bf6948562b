# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""All signs of fatigue of one person, sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from aitable_ros.analysis.blinks import BlinkSettings, ClosureDetector, EyeState
from aitable_ros.analysis.eye_baseline import BaselineSettings, EyeBaseline
from aitable_ros.analysis.perclos import Perclos, PerclosSettings, PerclosValue


@dataclass(frozen=True)
class FatigueSettings:
    """Settings of everything that is measured on one person."""

    baseline: BaselineSettings = field(default_factory=BaselineSettings)
    blinks: BlinkSettings = field(default_factory=BlinkSettings)
    perclos: PerclosSettings = field(default_factory=PerclosSettings)


@dataclass(frozen=True)
class FatigueState:
    """
    What is known about a person after one sample.

    :param left_openness: 0 closed .. 1 the person's own open eye; NaN: not measured.
    :param right_openness: the same for the right eye.
    :param eye_state: both eyes together.
    :param calibrated: whether the open-eye baselines can be trusted.
    :param left_ear_baseline: open-eye EAR; NaN before the first sample.
    :param right_ear_baseline: the same for the right eye.
    :param perclos: the sliding window.
    :param closure_duration_s: how long the eyes have been closed now [s].
    :param closure_truncated: the closure began unseen, the duration is a lower bound.
    :param blinks_valid: whether samples come often enough to see blinks.
    :param blink_count: blinks since the person appeared.
    :param blink_rate: blinks per minute of observed time in the window; NaN while not valid.
    :param last_blink_duration_s: NaN: none yet.
    :param mean_blink_duration_s: over the window; NaN: none in it.
    :param last_blink_amplitude: drop of openness of the last blink; NaN: none yet.
    """

    left_openness: float
    right_openness: float
    eye_state: EyeState
    calibrated: bool
    left_ear_baseline: float
    right_ear_baseline: float
    perclos: PerclosValue
    closure_duration_s: float
    closure_truncated: bool
    blinks_valid: bool
    blink_count: int
    blink_rate: float
    last_blink_duration_s: float
    mean_blink_duration_s: float
    last_blink_amplitude: float


class FatigueMonitor:
    """
    The fatigue state of one person; make one per face id.

    :param settings: thresholds and windows.
    """

    def __init__(self, settings: FatigueSettings | None = None) -> None:
        self.settings = settings or FatigueSettings()
        self._left = EyeBaseline(self.settings.baseline)
        self._right = EyeBaseline(self.settings.baseline)
        self._closures = ClosureDetector(self.settings.blinks)
        self._perclos = Perclos(self.settings.perclos)
        self.last_stamp_s = math.nan

    def reset(self) -> None:
        """Forget everything, the baselines included."""
        for part in (self._left, self._right, self._closures, self._perclos):
            part.reset()

    def update(self, stamp_s: float, left_ear: float, right_ear: float) -> FatigueState:
        """
        Take one sample.

        :param stamp_s: header time [s]; going back starts anew.
        :param left_ear: EAR of the left eye; NaN: not measured.
        :param right_ear: EAR of the right eye.
        """
        if stamp_s < self.last_stamp_s:
            self.reset()
        self.last_stamp_s = stamp_s
        self._left.update(stamp_s, left_ear)
        self._right.update(stamp_s, right_ear)
        left, right = self._left.openness(left_ear), self._right.openness(right_ear)
        self._closures.update(stamp_s, left, right)
        # both eyes have to be closed: the more open one decides; NaN if either is unknown
        self._perclos.add(stamp_s, 1.0 - float(np.maximum(left, right)))
        perclos = self._perclos.value()
        blinks = self._closures.blinks
        last = blinks[-1] if blinks else None
        valid = self._closures.blinks_valid
        durations = [blink.duration_s for blink in blinks]
        return FatigueState(
            left_openness=left,
            right_openness=right,
            eye_state=self._closures.state,
            calibrated=self._left.calibrated and self._right.calibrated,
            left_ear_baseline=self._left.open_ear,
            right_ear_baseline=self._right.open_ear,
            perclos=perclos,
            closure_duration_s=self._closures.closure_duration_s,
            closure_truncated=self._closures.closure_truncated,
            blinks_valid=valid,
            blink_count=self._closures.blink_count,
            blink_rate=(
                len(blinks) * 60.0 / perclos.observed_s if valid and perclos.valid else math.nan
            ),
            last_blink_duration_s=last.duration_s if last else math.nan,
            mean_blink_duration_s=sum(durations) / len(durations) if durations else math.nan,
            last_blink_amplitude=last.amplitude if last else math.nan,
        )
