# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Smooths the expression of one face over header time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.emotion.expression import EXPRESSIONS, UNKNOWN, EmotionEstimate

_RESTART_AFTER = 4.0
"""A gap longer than this many time constants starts anew."""


_LEAST = 1e-4
"""No estimate counts as evidence against an expression beyond this probability."""


class EmotionSmoother:
    """
    Exponential smoothing of one face's evidence, valence and arousal; one per face.

    The first-order low-pass filter for irregular samples: a new estimate gets the share
    ``1 - exp(-dt / time_constant_s)`` of the output. What is averaged is the evidence, the
    logarithms of the probabilities (the logarithmic opinion pool; Genest & Zidek 1986, 'Combining
    probability distributions'), so that an image which tells much counts more than one which tells
    nothing. Images that say the same are not taken for independent: their average says it, too.
    The label is the most probable expression of the result. The confidence follows it: the
    estimates' confidence per unit of probability (what image quality leaves of it) is smoothed and
    multiplied by the label's smoothed probability.

    An estimate that is unknown is returned as it is and leaves no trace: the next good one is
    smoothed as if it had not been, and counts the more for the time that passed. An equal stamp
    gives the last output again. An earlier stamp, a long gap, and an estimate of another backend,
    model or set of classes start anew.

    :param time_constant_s: after this time a step is 63 % done [s]; 0: off, estimates pass
        unchanged.
    """

    def __init__(self, time_constant_s: float) -> None:
        self.time_constant_s = time_constant_s
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next estimate is returned as it is."""
        self._last_s = math.nan
        self._output: EmotionEstimate | None = None
        self._evidence = np.full(len(EXPRESSIONS), np.nan)
        self._trust = math.nan
        self._valence = math.nan
        self._arousal = math.nan

    def update(self, stamp_s: float, estimate: EmotionEstimate) -> EmotionEstimate:
        """
        Take the next estimate.

        :param stamp_s: header time [s].
        :param estimate: of this face.
        :returns: the smoothed estimate. Valence, arousal and confidence are NaN where
            ``estimate`` lacks them; the probability of a class that the model lacks stays NaN.
        :raises ValueError: when the stamp is not finite.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        if self.time_constant_s == 0.0:
            return estimate
        elapsed_s = stamp_s - self._last_s
        if elapsed_s < 0.0 or elapsed_s > _RESTART_AFTER * self.time_constant_s:
            self.reset()
        if estimate.expression == UNKNOWN:
            return estimate
        last = self._output
        if last is not None and not _comparable(last, estimate):
            self.reset()
            last = None
        if last is not None and stamp_s == self._last_s:
            return last
        share = 1.0
        evidence = np.log(np.clip(estimate.probabilities, _LEAST, 1.0))
        probabilities = _normalised(estimate.probabilities)
        if last is not None:
            share = -math.expm1(-elapsed_s / self.time_constant_s)
            evidence = self._evidence + share * (evidence - self._evidence)
            probabilities = _normalised(np.exp(evidence - np.nanmax(evidence)))
        self._evidence = evidence
        shown = float(estimate.probabilities[estimate.expression])
        trust = estimate.confidence / shown if shown > 0.0 else math.nan
        self._trust = _mixed(self._trust, trust, share)
        self._valence = _mixed(self._valence, estimate.valence, share)
        self._arousal = _mixed(self._arousal, estimate.arousal, share)
        expression = int(np.nanargmax(probabilities))
        confidence = min(1.0, self._trust * float(probabilities[expression]))
        self._last_s = stamp_s
        self._output = EmotionEstimate(
            expression=expression,
            confidence=math.nan if math.isnan(trust) else confidence,
            probabilities=probabilities,
            valence=_signed(self._valence, estimate.valence),
            arousal=_signed(self._arousal, estimate.arousal),
            backend=estimate.backend,
            model=estimate.model,
            reading=estimate.reading,
        )
        return self._output


def _comparable(a: EmotionEstimate, b: EmotionEstimate) -> bool:
    same_classes = np.array_equal(np.isnan(a.probabilities), np.isnan(b.probabilities))
    return same_classes and (a.backend, a.model, a.reading) == (b.backend, b.model, b.reading)


def _normalised(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Make the known classes sum to 1 to the last digit: estimates may be off by rounding."""
    known: npt.NDArray[np.float64] = np.clip(probabilities, 0.0, 1.0)
    return known / np.nansum(known)


def _mixed(last: float, new: float, share: float) -> float:
    """Return the smoothed value; what is not measured leaves no trace."""
    if math.isnan(new):
        return last
    return new if math.isnan(last) else (1.0 - share) * last + share * new


def _signed(value: float, measured: float) -> float:
    """Return a value in -1..1 whatever rounding did; NaN where nothing was measured now."""
    return math.nan if math.isnan(measured) else min(max(value, -1.0), 1.0)
