# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where a person looks when they look to the front: nobody's is exactly the camera.

Learned as openpilot's driver monitoring learns a driver's natural pose
(``selfdrive/monitoring/helpers.py``, MIT): the mean over what lies near the expected direction,
used from a minute on, forgotten over six, and clamped, so that no habit makes a look away natural.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from aitable_ros.perception.maths.settings import Settings, setting


class Natural(IntEnum):
    """What is known of a person's natural direction."""

    LEARNING = 0
    LEARNED = 1
    SET = 2


@dataclass(frozen=True)
class NaturalSettings(Settings):
    """
    How the natural direction is learned; angles are from the line to the camera.

    :param valid_after_s: from so much observed time on it is used [s] (60: openpilot).
    :param memory_s: the mean is one over about this time [s] (360: openpilot).
    :param max_yaw_rad: farthest to either side [rad] (15 degrees: choice).
    :param max_up_rad: farthest up [rad] (15 degrees: choice; a partner's face is above the camera
        of a table).
    :param max_down_rad: farthest down [rad] (5 degrees: choice; down is the desk).
    :raises ValueError: for a value out of range.
    """

    valid_after_s: float = setting(60.0, 1.0, 3600.0)
    memory_s: float = setting(360.0, 1.0, 36000.0)
    max_yaw_rad: float = setting(math.radians(15.0), 0.0, 0.8)
    max_up_rad: float = setting(math.radians(15.0), 0.0, 0.8)
    max_down_rad: float = setting(math.radians(5.0), 0.0, 0.8)


class NaturalDirection:
    """
    The natural direction of one person.

    :param settings: time and clamps.
    """

    def __init__(self, settings: NaturalSettings | None = None) -> None:
        self.settings = settings or NaturalSettings()
        self.reset()

    def reset(self) -> None:
        """Forget it."""
        self._learned_s = 0.0
        self._mean = (0.0, 0.0)
        self._set: tuple[float, float] | None = None

    @property
    def state(self) -> Natural:
        """What is known."""
        if self._set is not None:
            return Natural.SET
        valid = self._learned_s >= self.settings.valid_after_s
        return Natural.LEARNED if valid else Natural.LEARNING

    @property
    def angles_rad(self) -> tuple[float, float]:
        """Yaw and pitch from the line to the camera [rad]; (0, 0) while it is being learned."""
        if self._set is not None:
            return self._set
        if self.state is Natural.LEARNING:
            return 0.0, 0.0
        settings, (yaw, pitch) = self.settings, self._mean
        return (
            min(max(yaw, -settings.max_yaw_rad), settings.max_yaw_rad),
            min(max(pitch, -settings.max_up_rad), settings.max_down_rad),
        )

    def learn(self, yaw_rad: float, pitch_rad: float, duration_s: float) -> None:
        """
        Take a look to the front.

        :param yaw_rad: of it [rad].
        :param pitch_rad: of it [rad].
        :param duration_s: how long it lasted [s].
        """
        self._learned_s = min(self._learned_s + duration_s, self.settings.memory_s)
        if self._learned_s > 0.0:
            share = min(duration_s / self._learned_s, 1.0)
            yaw, pitch = self._mean
            self._mean = (yaw + share * (yaw_rad - yaw), pitch + share * (pitch_rad - pitch))

    def set(self, yaw_rad: float, pitch_rad: float) -> None:
        """Take a direction for the natural one, for as long as the person is known."""
        self._set = (yaw_rad, pitch_rad)
