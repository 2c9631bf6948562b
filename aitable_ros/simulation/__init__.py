# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The built-in sample: a made video of a moving, blinking face whose truth is known."""

from __future__ import annotations

from aitable_ros.simulation.astronaut_sequence import AstronautSequence
from aitable_ros.simulation.script import CLOSED_OPENNESS

__all__ = ['CLOSED_OPENNESS', 'AstronautSequence']
