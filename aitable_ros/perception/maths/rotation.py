# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Rotations in 3-D as unit quaternions (x, y, z, w), the order of ``geometry_msgs/Quaternion``.

Plain tuples and scalar arithmetic: for one rotation at a time that is several times faster than
NumPy's. A quaternion and its negative are the same rotation; what is returned has w >= 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

Vector: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]

IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)

# Below this angle sin(a / 2) / a and its inverse come from their series, exact to rounding there.
_SMALL_RAD = 1e-6


def normalized(xyzw: Sequence[float]) -> Quaternion:
    """
    Return the unit quaternion of the same direction with w >= 0.

    :param xyzw: four numbers.
    :raises ValueError: when they are not four, not finite, or all (nearly) zero.
    """
    x, y, z, w = xyzw
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    if not (1e-9 < norm < math.inf):
        raise ValueError(f'not a rotation: {tuple(xyzw)}')
    if w < 0.0:
        norm = -norm
    return (x / norm, y / norm, z / norm, w / norm)


def inverse(q: Quaternion) -> Quaternion:
    """Return the opposite rotation."""
    return (-q[0], -q[1], -q[2], q[3])


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation that applies b first and then a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return normalized(
        (
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        )
    )


def rotate(q: Quaternion, vector: Sequence[float]) -> Vector:
    """
    Rotate a vector.

    :param q: a unit quaternion.
    :param vector: (x, y, z).
    """
    x, y, z, w = q
    vx, vy, vz = vector
    cx, cy, cz = y * vz - z * vy + w * vx, z * vx - x * vz + w * vy, x * vy - y * vx + w * vz
    return (
        vx + 2.0 * (y * cz - z * cy),
        vy + 2.0 * (z * cx - x * cz),
        vz + 2.0 * (x * cy - y * cx),
    )


def from_rotation_vector(vector: Sequence[float]) -> Quaternion:
    """
    Return the rotation about a vector's direction by its length.

    :param vector: axis times angle [rad], right-handed.
    """
    x, y, z = vector
    angle = math.sqrt(x * x + y * y + z * z)
    factor = 0.5 if angle < _SMALL_RAD else math.sin(0.5 * angle) / angle
    return normalized((factor * x, factor * y, factor * z, math.cos(0.5 * angle)))


def to_rotation_vector(q: Quaternion) -> Vector:
    """
    Return axis times angle [rad], the angle in 0..pi.

    :param q: a unit quaternion.
    """
    x, y, z, w = q if q[3] >= 0.0 else (-q[0], -q[1], -q[2], -q[3])
    sine = math.sqrt(x * x + y * y + z * z)
    factor = 2.0 if sine < _SMALL_RAD else 2.0 * math.atan2(sine, w) / sine
    return (factor * x, factor * y, factor * z)


def slerp(a: Quaternion, b: Quaternion, share: float) -> Quaternion:
    """
    Go a share of the shortest way from one rotation to another, at constant angular speed.

    Shoemake, "Animating Rotation with Quaternion Curves", SIGGRAPH 1985.

    :param a: unit quaternion; the result for share 0.
    :param b: unit quaternion; the result for share 1.
    :param share: how far to go.
    """
    x, y, z = to_rotation_vector(product(inverse(a), b))
    return product(a, from_rotation_vector((share * x, share * y, share * z)))


def to_yaw_pitch_roll(q: Quaternion) -> Vector:
    """
    Take Rz(yaw) Ry(pitch) Rx(roll) apart: roll about the fixed x axis, pitch about y, yaw about z.

    The order of REP-103 ("fixed axis roll, pitch, yaw about X, Y, Z").

    :param q: a unit quaternion.
    :returns: yaw in -pi..pi, pitch in -pi/2..pi/2, roll in -pi..pi [rad]. At a pitch of exactly
        +-pi/2 yaw and roll are the same motion; their sum or difference is right even then.
    """
    x, y, z, w = q
    return (
        math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)),
        math.asin(min(max(2.0 * (w * y - x * z), -1.0), 1.0)),
        math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y)),
    )


def from_matrix(rows: Sequence[Sequence[float]]) -> Quaternion:
    """
    Return the quaternion of a rotation matrix.

    Shepperd, "Quaternion from Rotation Matrix", J. Guidance and Control 1(3), 1978: from the
    largest of the four, so that nothing small is divided by.

    :param rows: (3, 3) rotation matrix.
    """
    (a, b, c), (d, e, f), (g, h, i) = rows
    trace = a + e + i
    largest = max(trace, a, e, i)
    if largest == trace:
        return normalized((h - f, c - g, d - b, 1.0 + trace))
    if largest == a:
        return normalized((1.0 + a - e - i, b + d, c + g, h - f))
    if largest == e:
        return normalized((b + d, 1.0 + e - a - i, f + h, c - g))
    return normalized((c + g, f + h, 1.0 + i - a - e, d - b))


def to_matrix(q: Quaternion) -> tuple[Vector, Vector, Vector]:
    """
    Return the rows of a rotation's matrix.

    :param q: a unit quaternion.
    """
    columns = (rotate(q, (1.0, 0.0, 0.0)), rotate(q, (0.0, 1.0, 0.0)), rotate(q, (0.0, 0.0, 1.0)))
    (a, d, g), (b, e, h), (c, f, i) = columns
    return ((a, b, c), (d, e, f), (g, h, i))
