# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a posture in one word; apart from what measures it, which few need to import."""

from __future__ import annotations

from enum import IntEnum


class Calibration(IntEnum):
    """State of the calibration."""

    NONE = 0
    RUNNING = 1
    AUTOMATIC = 2
    REQUESTED = 3
    FAILED = 4


class Posture(IntEnum):
    """How a person sits."""

    UNKNOWN = 0
    UPRIGHT = 1
    LEANING_FORWARD = 2
    SLOUCHING = 3
    TILTED = 4
    TOO_CLOSE = 5
    AWAY = 6


POOR = frozenset({Posture.LEANING_FORWARD, Posture.SLOUCHING, Posture.TILTED, Posture.TOO_CLOSE})
"""Postures that are worth a hint."""
