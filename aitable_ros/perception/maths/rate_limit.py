# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Working on so many images a second only, in header time."""

from __future__ import annotations

import math

STAMP_TOLERANCE_S = 1e-3
"""Stamps of a camera at 30 Hz are not exact multiples of anything."""


class RateLimit:
    """
    Picks images so that the rate holds on average, but never in bursts.

    Header time alone counts, so that a bag gives the same images at any speed.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Let the next image through."""
        self._due_s = -math.inf

    def is_due(self, stamp_s: float) -> bool:
        """
        Tell whether it is an image's turn.

        :param stamp_s: header time [s].
        """
        return stamp_s >= self._due_s - STAMP_TOLERANCE_S

    def take(self, stamp_s: float, max_rate_hz: float) -> None:
        """
        Note that an image was worked on.

        :param stamp_s: header time [s].
        :param max_rate_hz: images per second; 0: all [Hz].
        """
        if not max_rate_hz > 0.0:
            self._due_s = -math.inf
            return
        period_s = 1.0 / max_rate_hz
        begin_s = self._due_s if stamp_s - self._due_s < period_s else stamp_s
        self._due_s = begin_s + period_s
