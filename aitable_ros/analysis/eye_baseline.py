# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How open this person's open eye is: the reference that turns EAR into openness."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_BINS = 160
_MAX_EAR = 0.8


@dataclass(frozen=True)
class BaselineSettings:
    """
    How the open-eye EAR is learned.

    :param percentile: the open eye is this percentile of the EARs seen; high, so that blinks
        do not count, not the highest, so that single wrong frames do not either.
    :param memory_s: time constant with which old samples fade [s].
    :param min_observed_s: calibrated after this much observed time [s].
    :param closed_ratio: EAR of a closed eye as a share of the open one's. What the landmark
        network gives for closed lids, not 0.
    :param max_gap_s: longest time for which one sample may stand [s].
    """

    percentile: float = 90.0
    memory_s: float = 120.0
    min_observed_s: float = 2.0
    closed_ratio: float = 0.28
    max_gap_s: float = 0.5

    def __post_init__(self) -> None:
        if not 50 <= self.percentile <= 100:
            raise ValueError(f'percentile must lie in 50..100: {self}')
        if not 0 <= self.closed_ratio < 1:
            raise ValueError(f'closed_ratio must lie in 0..1: {self}')
        if min(self.memory_s, self.min_observed_s, self.max_gap_s) <= 0:
            raise ValueError(f'durations must be positive: {self}')


class EyeBaseline:
    """
    The open-eye EAR of one eye of one person, learned from what is seen.

    A fading, time-weighted histogram of EAR; constant memory.

    :param settings: percentile, memory and the closed reference.
    """

    def __init__(self, settings: BaselineSettings | None = None) -> None:
        self.settings = settings or BaselineSettings()
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._weights = np.zeros(_BINS)
        self._observed_s = 0.0
        self._last_s = math.nan
        self._open_ear = math.nan

    def update(self, stamp_s: float, ear: float) -> None:
        """
        Learn from one sample.

        :param stamp_s: header time [s].
        :param ear: eye aspect ratio; NaN: not measured.
        """
        elapsed_s = stamp_s - self._last_s
        self._last_s = stamp_s
        if not elapsed_s > 0 or math.isnan(ear):
            return
        weight_s = min(elapsed_s, self.settings.max_gap_s)
        # a closing eye tells nothing about the open one
        if self.calibrated and self.openness(ear) < 0.5:
            return
        self._weights *= math.exp(-weight_s / self.settings.memory_s)
        self._weights[min(int(ear / _MAX_EAR * _BINS), _BINS - 1)] += weight_s
        self._observed_s += weight_s
        cumulative = np.cumsum(self._weights)
        position = np.searchsorted(cumulative, cumulative[-1] * self.settings.percentile / 100)
        self._open_ear = (int(position) + 0.5) * _MAX_EAR / _BINS

    @property
    def calibrated(self) -> bool:
        """Whether enough was seen to trust the baseline."""
        return self._observed_s >= self.settings.min_observed_s

    @property
    def open_ear(self) -> float:
        """EAR of the open eye; NaN before the first sample."""
        return self._open_ear

    def openness(self, ear: float) -> float:
        """
        Relate an EAR to this person's eye.

        :returns: 0 closed .. 1 open (clipped); NaN while not calibrated or not measured.
        """
        if not self.calibrated or math.isnan(ear):
            return math.nan
        closed_ear = self.settings.closed_ratio * self._open_ear
        return min(max((ear - closed_ear) / (self._open_ear - closed_ear), 0.0), 1.0)
