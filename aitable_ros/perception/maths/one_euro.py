# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The 1-Euro filter for numbers, vectors and rotations, in header time.

Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012. A first-order low-pass filter whose cutoff frequency rises with the
speed of the signal: at rest it smooths much, in fast motion it lags little:

    cutoff = min_cutoff + beta * |filtered speed|
    tau    = 1 / (2 pi cutoff)
    alpha  = 1 / (1 + tau / dt)
    output = alpha * input + (1 - alpha) * last output

The share of the *new* value, alpha, grows with speed and with the time since the last value.

All filters here take irregular stamps. An equal stamp gives the last output again. An earlier one
(a bag that loops) starts anew. A value that is not finite comes back as NaN and leaves no trace:
the next good one is filtered as if it had not been.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub
from typing import Generic, TypeVar, cast

from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.rotation import Quaternion
from aitable_ros.perception.maths.settings import Settings, setting

T = TypeVar('T', bound='tuple[float, ...]')


@dataclass(frozen=True)
class OneEuroSettings(Settings):
    """
    How much is smoothed.

    :param min_cutoff_hz: cutoff frequency at rest [Hz]; lower: less jitter. Positive.
    :param beta: how much the cutoff rises with speed [Hz per (unit/s)]; higher: less lag. For
        rotations the unit is the radian. Not negative.
    :param derivative_cutoff_hz: cutoff with which the speed itself is smoothed [Hz] (1 Hz in the
        paper). Positive.
    :raises ValueError: for a value out of range.
    """

    min_cutoff_hz: float = setting(1.0, 1e-6, 1e6)
    beta: float = setting(0.0, 0.0, sys.float_info.max)
    derivative_cutoff_hz: float = setting(1.0, 1e-6, 1e6)


def smoothing_factor(cutoff_hz: float, interval_s: float) -> float:
    """
    Return alpha, the share of the new value in a low-pass filter's output, 0..1.

    :param cutoff_hz: cutoff frequency, positive [Hz].
    :param interval_s: time since the last value, positive [s].
    """
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff_hz * interval_s))


class _OneEuroFilter(ABC, Generic[T]):
    """
    What the filters share.

    :param settings: how much is smoothed; beta in Hz per unit of speed.
    :param max_gap_s: a value after a longer time without one is not filtered with those before
        [s].
    """

    def __init__(
        self, settings: OneEuroSettings | None = None, *, max_gap_s: float = math.inf
    ) -> None:
        self.settings = settings or OneEuroSettings()
        self._max_gap_s = max_gap_s
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next value is returned as it is."""
        self._last_s = math.nan
        self._input: T | None = None
        self._output: T | None = None
        self._speed: Sequence[float] = ()

    def update(self, stamp_s: float, values: Sequence[float]) -> T:
        """
        Take the next value.

        :param stamp_s: header time [s].
        :param values: the vector, of the same length each time, or the quaternion (x, y, z, w),
            which is normalised.
        :returns: the filtered one, quaternions with w >= 0; all NaN when a component is not
            finite.
        :raises ValueError: when the stamp is not finite, the length changes or the quaternion is
            zero.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        if self._input is not None and len(values) != len(self._input):
            raise ValueError(f'expected {len(self._input)} components, got {len(values)}')
        interval_s = stamp_s - self._last_s
        if interval_s < 0.0:
            self.reset()
        if not math.isfinite(sum(values)):  # only if all are
            return cast(T, (math.nan,) * len(values))
        if interval_s > self._max_gap_s:
            self.reset()
        new = self._taken(values)
        if self._input is None or self._output is None:
            self._output = new
        elif interval_s == 0.0:
            return self._output
        else:
            settings = self.settings
            way = self._way(self._input, new)
            share = smoothing_factor(settings.derivative_cutoff_hz, interval_s)
            self._speed = [
                speed + share * (step / interval_s - speed)
                for speed, step in zip(self._speed or (0.0,) * len(way), way)
            ]
            cutoff_hz = settings.min_cutoff_hz + settings.beta * math.hypot(*self._speed)
            share = smoothing_factor(cutoff_hz, interval_s)
            self._output = self._moved(self._output, new, share)
        self._last_s = stamp_s
        self._input = new
        return self._output

    @staticmethod
    @abstractmethod
    def _taken(values: Sequence[float]) -> T:
        """Return a value as it is filtered."""

    @staticmethod
    @abstractmethod
    def _way(before: T, after: T) -> Sequence[float]:
        """Return the way from one value to another, in units of speed times seconds."""

    @staticmethod
    @abstractmethod
    def _moved(output: T, new: T, share: float) -> T:
        """Go a share of the way from the last output to the new value."""


class VectorOneEuroFilter(_OneEuroFilter[tuple[float, ...]]):
    """
    Filter a vector.

    All components share one cutoff, that of the speed's length, so that the direction of a motion
    is not bent.
    """

    @staticmethod
    def _taken(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(map(float, values))

    @staticmethod
    def _way(before: tuple[float, ...], after: tuple[float, ...]) -> Sequence[float]:
        return list(map(sub, after, before))

    @staticmethod
    def _moved(
        output: tuple[float, ...], new: tuple[float, ...], share: float
    ) -> tuple[float, ...]:
        return tuple([last + share * (value - last) for last, value in zip(output, new)])


class QuaternionOneEuroFilter(_OneEuroFilter[Quaternion]):
    """
    Filter a rotation.

    The same filter on the sphere of unit quaternions: the way from the last output to the new
    input is gone by the share alpha (slerp), and the speed is the angular one. Neither the sign
    of the quaternion nor a full turn of an angle matters.
    """

    @staticmethod
    def _taken(values: Sequence[float]) -> Quaternion:
        return rotation.normalized(values)

    @staticmethod
    def _moved(output: Quaternion, new: Quaternion, share: float) -> Quaternion:
        return rotation.slerp(output, new, share)

    @staticmethod
    def _way(before: Quaternion, after: Quaternion) -> tuple[float, ...]:
        return rotation.to_rotation_vector(rotation.product(rotation.inverse(before), after))
