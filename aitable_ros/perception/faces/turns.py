# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whose landmarks are measured in an image, where there are more faces than time for them."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.ssd import iou_matrix

_SAMPLES = 15
"""What a face costs is the median over so many images."""

LEAST_WEIGHT = 0.25
"""However far away and at the edge, a face's wait counts this much of the nearest's."""


MEETING = 4.0
"""The wait of faces that overlap counts so much more: who is who shows where both are measured."""


class Turns:
    """
    Lets faces take turns so that an image costs no more than a budget; one of them has it always.

    Each image goes to those that have waited longest, where the largest face's time counts most
    and that at the image's edge least: the nearest and most central ones are measured most often,
    and each comes round.

    :param budget_ms: time for the landmarks of an image [ms]; 0: all are measured.
    :param clock: gives time [s].
    """

    def __init__(self, budget_ms: float, clock: Callable[[], float]) -> None:
        self.budget_ms = budget_ms
        self.clock = clock
        self._costs_ms: deque[float] = deque(maxlen=_SAMPLES)
        self.reserved_ms = 0.0
        """Time that something else needs in the next image [ms]."""
        self.reset()

    def reset(self) -> None:
        """Another stream begins."""
        self.measured_s: dict[str, float] = {}

    def continue_from(self, other: Turns) -> None:
        """Go on with the faces of another one."""
        self.measured_s, self._costs_ms = other.measured_s, other._costs_ms

    @property
    def cost_ms(self) -> float:
        """What one face costs [ms]; NaN: not known yet."""
        return statistics.median(self._costs_ms) if self._costs_ms else math.nan

    @property
    def places(self) -> float:
        """How many faces an image has time for, at least 1."""
        if not self.budget_ms or not self._costs_ms:
            return math.inf
        left_ms = self.budget_ms - self.reserved_ms
        return max(1.0, left_ms // max(self.cost_ms, 1e-6))

    def choose(
        self, faces: Mapping[str, npt.NDArray], stamp_s: float, shape: Sequence[int]
    ) -> set[str]:
        """
        Choose the faces to be measured.

        :param faces: (4,) left, top, width, height in pixels, by id.
        :param stamp_s: header time of the image [s].
        :param shape: of the image: height, width and more.
        :returns: their ids.
        """
        if len(faces) < 2 or len(faces) <= (places := self.places):
            return set(faces)
        boxes = np.array(list(faces.values()), np.float64)
        sizes = boxes[:, 2:].max(axis=1)
        middle = np.array(shape[1::-1]) / 2
        away = np.linalg.norm(boxes[:, :2] + boxes[:, 2:] / 2 - middle, axis=1)
        central = 1.0 - 0.5 * away / np.linalg.norm(middle)
        weights = np.clip(sizes / sizes.max() * central, LEAST_WEIGHT, 1.0)
        weights[(iou_matrix(boxes, boxes) > 0.0).sum(axis=1) > 1] *= MEETING
        waited = np.array([stamp_s - self.measured_s.get(i, -math.inf) for i in faces])
        order = np.argsort(-waited * weights, kind='stable')
        return {face_id for face_id, rank in zip(faces, np.argsort(order)) if rank < places}

    def spent(self, faces: Sequence[str], stamp_s: float, seconds: float) -> None:
        """
        Note what was measured.

        :param faces: ids.
        :param stamp_s: header time of the image [s].
        :param seconds: time that it took.
        """
        self.measured_s.update(dict.fromkeys(faces, stamp_s))
        if faces:
            self._costs_ms.append(1e3 * seconds / len(faces))

    def keep(self, faces: Sequence[str]) -> None:
        """Forget all other faces."""
        self.measured_s = {i: self.measured_s[i] for i in faces if i in self.measured_s}
