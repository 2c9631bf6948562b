# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""For how long a person has sat without moving."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aitable_ros.perception.maths.settings import Settings, setting


@dataclass(frozen=True)
class StillnessSettings(Settings):
    """
    What counts as having moved.

    :param moved_ratio: head or shoulders are this far from where they were, over the distance of
        the shoulders in the image (0.2: choice; about 7 cm).
    :param confirm_s: and for this long: single wrong keypoints are not motion [s] (0.5: choice).
    :param remind_after_s: sitting still for this long is worth a reminder [s] (1200, 20 minutes:
        choice).
    :raises ValueError: for a value out of range.
    """

    moved_ratio: float = setting(0.2, 0.01, 2.0)
    confirm_s: float = setting(0.5, 0.0, 10.0)
    remind_after_s: float = setting(1200.0, 0.0, 36000.0, basic=True)


class Stillness:
    """
    Times how long head and shoulders have stayed where they are.

    Only time in which they are seen counts, so that a hidden person is not still. Slow creeping
    adds up and counts as motion in the end.

    :param settings: what counts as having moved.
    :param max_gap_s: a sample stands for no longer than this [s].
    """

    def __init__(
        self, settings: StillnessSettings | None = None, *, max_gap_s: float = 0.5
    ) -> None:
        self.settings = settings or StillnessSettings()
        self._max_gap_s = max_gap_s
        self.reset()

    def reset(self) -> None:
        """Forget everything: nobody is there."""
        self.still_s = math.nan
        self._anchor: tuple[tuple[float, float], ...] = ()
        self._width_px = math.nan
        self._last_s = self._off_since_s = math.nan

    def update(
        self,
        stamp_s: float,
        head_px: tuple[float, float],
        shoulders_px: tuple[float, float],
        shoulder_width_px: float,
    ) -> float:
        """
        Take one image.

        :param stamp_s: header time [s]; ascending.
        :param head_px: middle of the head; NaN: not seen.
        :param shoulders_px: middle of the shoulders; NaN: not seen.
        :param shoulder_width_px: their distance; NaN: not seen.
        :returns: for how long nothing has moved [s]; NaN before anything was seen.
        """
        places = (head_px, shoulders_px)
        if not shoulder_width_px > 0.0 or math.isnan(sum(head_px)):
            self._last_s = math.nan
            return self.still_s
        if not self._anchor:
            self._settle(places, shoulder_width_px)
        elif not math.isnan(self._last_s):
            self.still_s += min(stamp_s - self._last_s, self._max_gap_s)
        self._last_s = stamp_s
        way_px = max(math.dist(*pair) for pair in zip(places, self._anchor))
        grown = abs(shoulder_width_px / self._width_px - 1.0)
        if max(way_px / self._width_px, grown) <= self.settings.moved_ratio:
            self._off_since_s = math.nan
        else:
            if math.isnan(self._off_since_s):
                self._off_since_s = stamp_s
            if stamp_s - self._off_since_s >= self.settings.confirm_s:
                self._settle(places, shoulder_width_px)
        return self.still_s

    def _settle(self, places: tuple[tuple[float, float], ...], width_px: float) -> None:
        self.still_s = 0.0
        self._anchor, self._width_px = places, width_px
        self._off_since_s = math.nan
