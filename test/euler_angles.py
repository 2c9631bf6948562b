# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Rotations from the angles of REP-103, by SciPy."""

from __future__ import annotations

from scipy.spatial.transform import Rotation


def from_yaw_pitch_roll(
    yaw_rad: float, pitch_rad: float, roll_rad: float
) -> tuple[float, float, float, float]:
    """Return Rz(yaw) Ry(pitch) Rx(roll) as a quaternion x, y, z, w."""
    x, y, z, w = Rotation.from_euler('xyz', (roll_rad, pitch_rad, yaw_rad)).as_quat().tolist()
    return x, y, z, w
