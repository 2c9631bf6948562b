# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether an image continues the stream of those before it, and when it counts as taken."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

AHEAD_S = 10.0
"""
Stamps that go ahead by more are believed once they last (choice: shorter gaps are common, and
clocks that are wrong are so by more), unless it is a step like the last one.
"""

AHEAD_STEPS = 3.0
"""As long as so many of the last step is like it (choice)."""

LATE_S = 1.0
"""After a jump back by no more, time catches up (choice: drivers let frames change places)."""

LASTING = 3
"""A jump is believed from so many images on that follow each other (choice)."""

REPEATED = 10
"""After so many images with one stamp stamps do not advance (choice)."""

MIXED = 300
"""Other cameras are spoken of for so many images more (choice: ten seconds)."""


class Source(NamedTuple):
    """What tells cameras apart."""

    frame_id: str = ''
    width: int = 0
    height: int = 0

    @classmethod
    def of(cls, image: npt.NDArray[np.uint8], frame_id: str) -> Source:
        """Give the source of an (H, W, 3) image."""
        height, width = image.shape[:2]
        return cls(frame_id, width, height)

    def __str__(self) -> str:
        return f'{self.frame_id or "a camera without name"} ({self.width}x{self.height})'


class StreamOrder:
    """
    Where an image stream stands.

    Stamps may be wrong: two images change places, one is 0 or an hour ahead. Such an image is
    *late*: it counts as taken together with the one before it, so that nothing is learned from it
    over time, and nobody is forgotten. Only what lasts for :data:`LASTING` images is believed: a
    jump back begins another stream. An image of another camera is left out until that lasts.
    """

    def __init__(self) -> None:
        self.late = 0
        """How many images were late."""
        self.foreign = 0
        """How many images of other cameras were left out."""
        self.reset()

    def reset(self) -> None:
        """Let any image begin the stream; what was counted stays."""
        self.now_s = math.nan
        """When the stream's newest image was taken [s]; NaN: there was none."""
        self.anew = False
        """Whether the last image began another stream."""
        self.is_late = False
        """Whether the last image was late."""
        self._step_s = 0.0
        self._source = Source()
        self._stray: tuple[Source, float] | None = None
        self._strays = 0
        self._stamp_s = math.nan
        self._repeated = 0
        self._mixed_with: Source | None = None
        self._mixed = 0

    def advance(self, stamp_s: float, source: Source | None = None) -> float | None:
        """
        Take the next image.

        :param stamp_s: its header time [s].
        :param source: the camera.
        :returns: when it counts as taken [s], not before the last one; None: it is to be left
            out, being of another camera.
        :raises ValueError: when the stamp is not finite.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        source = source or Source()
        self._repeated = self._repeated + 1 if stamp_s == self._stamp_s else 0
        self._stamp_s = stamp_s
        self._mixed = max(self._mixed - 1, 0)
        self.anew = self.is_late = False
        if math.isnan(self.now_s):
            return self._take(stamp_s, source, 0.0)
        step_s, ours = stamp_s - self.now_s, source == self._source
        if ours and 0.0 <= step_s <= max(AHEAD_S, AHEAD_STEPS * self._step_s):
            return self._take(stamp_s, source, step_s)
        slightly_late = ours and -LATE_S <= step_s < 0.0
        if not slightly_late and self._lasts(stamp_s, source):
            self.anew = not ours or step_s < 0.0
            return self._take(stamp_s, source, 0.0 if self.anew else step_s)
        if ours:
            self.is_late = True
            self.late += 1
            return self.now_s
        self.foreign += 1
        return None

    @property
    def problem(self) -> str:
        """What is wrong with the images, for people; empty: nothing is."""
        if self._repeated >= REPEATED:
            return 'the stamps of the images do not advance: nothing is measured over time'
        if self._mixed:
            return (
                f'two cameras on one topic: images of {self._mixed_with} come between those of '
                f'{self._source} and are left out'
            )
        return ''

    def _take(self, stamp_s: float, source: Source, step_s: float) -> float:
        if self._stray is not None and self._stray[0] != source:
            self._mixed_with, self._mixed = self._stray[0], MIXED
        self.now_s, self._source = stamp_s, source
        self._step_s = step_s
        self._stray, self._strays = None, 0
        return stamp_s

    def _lasts(self, stamp_s: float, source: Source) -> bool:
        """Tell whether images that do not go on with the stream go on with each other."""
        before, self._stray = self._stray, (source, stamp_s)
        goes_on = before is not None and before[0] == source
        if goes_on and source == self._source:
            assert before is not None
            # nearer to the stray image before than to where the stream is
            goes_on = 0.0 < stamp_s - before[1] < abs(stamp_s - self.now_s)
        self._strays = self._strays + 1 if goes_on else 1
        return self._strays >= LASTING
