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
from collections.abc import Sequence
from dataclasses import dataclass

from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.rotation import Quaternion


@dataclass(frozen=True)
class OneEuroSettings:
    """
    How much is smoothed.

    :param min_cutoff_hz: cutoff frequency at rest [Hz]; lower: less jitter. Positive.
    :param beta: how much the cutoff rises with speed [Hz per (unit/s)]; higher: less lag. For
        rotations the unit is the radian. Not negative.
    :param derivative_cutoff_hz: cutoff with which the speed itself is smoothed [Hz] (1 Hz in the
        paper). Positive.
    :raises ValueError: for a value out of range.
    """

    min_cutoff_hz: float = 1.0
    beta: float = 0.0
    derivative_cutoff_hz: float = 1.0

    def __post_init__(self) -> None:
        if not (
            0.0 < self.min_cutoff_hz < math.inf
            and 0.0 < self.derivative_cutoff_hz < math.inf
            and 0.0 <= self.beta < math.inf
        ):
            raise ValueError(
                f'cutoffs must be positive and beta not negative, all of them finite: {self}'
            )


def smoothing_factor(cutoff_hz: float, interval_s: float) -> float:
    """
    Return alpha, the share of the new value in a low-pass filter's output, 0..1.

    :param cutoff_hz: cutoff frequency, positive [Hz].
    :param interval_s: time since the last value, positive [s].
    """
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff_hz * interval_s))


def _interval_s(stamp_s: float, last_s: float) -> float:
    """Return the time since the last value, NaN if there is none; refuse a stamp that is none."""
    if not math.isfinite(stamp_s):
        raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
    return stamp_s - last_s


class VectorOneEuroFilter:
    """
    Filter a vector.

    All components share one cutoff, that of the speed's length, so that the direction of a motion
    is not bent.

    :param settings: how much is smoothed.
    """

    def __init__(self, settings: OneEuroSettings | None = None) -> None:
        self.settings = settings or OneEuroSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next value is returned as it is."""
        self._last_s = math.nan
        self._input: tuple[float, ...] = ()
        self._speed: tuple[float, ...] = ()
        self._output: tuple[float, ...] = ()

    def update(self, stamp_s: float, values: Sequence[float]) -> tuple[float, ...]:
        """
        Take the next value.

        :param stamp_s: header time [s].
        :param values: the vector; of the same length each time.
        :returns: the filtered vector; all NaN when a component is not finite.
        :raises ValueError: when the stamp is not finite or the length changes.
        """
        new = tuple(map(float, values))
        if self._input and len(new) != len(self._input):
            raise ValueError(f'expected {len(self._input)} components, got {len(new)}')
        interval_s = _interval_s(stamp_s, self._last_s)
        if interval_s < 0.0:
            self.reset()
        if not all(map(math.isfinite, new)):
            return (math.nan,) * len(new)
        if interval_s == 0.0:
            return self._output
        self._last_s = stamp_s
        if not self._input:
            self._speed = (0.0,) * len(new)
            self._output = new
        else:
            settings = self.settings
            share = smoothing_factor(settings.derivative_cutoff_hz, interval_s)
            self._speed = tuple(
                speed + share * ((value - before) / interval_s - speed)
                for speed, value, before in zip(self._speed, new, self._input)
            )
            cutoff_hz = settings.min_cutoff_hz + settings.beta * math.hypot(*self._speed)
            share = smoothing_factor(cutoff_hz, interval_s)
            self._output = tuple(
                output + share * (value - output) for output, value in zip(self._output, new)
            )
        self._input = new
        return self._output


class OneEuroFilter:
    """
    Filter a number.

    :param settings: how much is smoothed.
    """

    def __init__(self, settings: OneEuroSettings | None = None) -> None:
        self._filter = VectorOneEuroFilter(settings)

    @property
    def settings(self) -> OneEuroSettings:
        """How much is smoothed."""
        return self._filter.settings

    def reset(self) -> None:
        """Forget everything: the next value is returned as it is."""
        self._filter.reset()

    def update(self, stamp_s: float, value: float) -> float:
        """
        Take the next value.

        :param stamp_s: header time [s].
        :param value: the number.
        :returns: the filtered number; NaN when it is not finite.
        :raises ValueError: when the stamp is not finite.
        """
        return self._filter.update(stamp_s, (value,))[0]


class QuaternionOneEuroFilter:
    """
    Filter a rotation.

    The same filter on the sphere of unit quaternions: the way from the last output to the new
    input is gone by the share alpha (slerp), and the speed is the angular one. Neither the sign
    of the quaternion nor a full turn of an angle matters.

    :param settings: how much is smoothed; beta in Hz per rad/s.
    """

    def __init__(self, settings: OneEuroSettings | None = None) -> None:
        self.settings = settings or OneEuroSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next rotation is returned as it is."""
        self._last_s = math.nan
        self._input: Quaternion | None = None
        self._speed = (0.0, 0.0, 0.0)
        self._output = rotation.IDENTITY

    def update(self, stamp_s: float, xyzw: Sequence[float]) -> Quaternion:
        """
        Take the next rotation.

        :param stamp_s: header time [s].
        :param xyzw: quaternion; is normalised.
        :returns: the filtered unit quaternion with w >= 0; NaNs when the new one is not finite.
        :raises ValueError: when the stamp is not finite or the quaternion is zero.
        """
        interval_s = _interval_s(stamp_s, self._last_s)
        if interval_s < 0.0:
            self.reset()
        if not all(map(math.isfinite, xyzw)):
            return (math.nan,) * 4
        new = rotation.normalized(xyzw)
        if interval_s == 0.0:
            return self._output
        self._last_s = stamp_s
        if self._input is None:
            self._output = new
        else:
            settings = self.settings
            turned = rotation.to_rotation_vector(
                rotation.product(rotation.inverse(self._input), new)
            )
            share = smoothing_factor(settings.derivative_cutoff_hz, interval_s)
            sx, sy, sz = (
                speed + share * (angle / interval_s - speed)
                for speed, angle in zip(self._speed, turned)
            )
            self._speed = (sx, sy, sz)
            cutoff_hz = settings.min_cutoff_hz + settings.beta * math.hypot(sx, sy, sz)
            share = smoothing_factor(cutoff_hz, interval_s)
            self._output = rotation.slerp(self._output, new, share)
        self._input = new
        return self._output
