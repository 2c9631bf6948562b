# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the rigid points of an average face have to be for a camera to see them where it does.

Gauss-Newton on the reprojection error, from the pose that they would have far away (weak
perspective), corrected for how near they are (POSIT; DeMenthon and Davis, "Model-Based Object Pose
in 25 Lines of Code", IJCV 15, 1995). Each image by itself: nothing depends on the images before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M
from aitable_ros.perception.maths.rotation import Vector

Placed: TypeAlias = tuple[Vector, Vector, Vector, Vector]
"""A pose in the optical frame: the three axes of the face, and its position [m]."""

_HOMOGENEOUS_M = np.array([(*point, 1.0) for point in RIGID_POINTS_M.values()]).T.copy()
# From rays to what is affine of a face that is far away, and what each metre of its depth adds.
_TO_AFFINE = (_HOMOGENEOUS_M[:, None] * np.linalg.pinv(_HOMOGENEOUS_M).T).reshape(16, -1)

_STEPS_FROM_AFAR = 2
"""Plain numbers, so hardly any time, and one step less of the others."""

_MAX_STEPS = 8
"""Faces take two; what takes more than this is none, or seen very badly."""

_SETTLED = 6e-3
"""The last step, in radians and of the distance; each is about a hundredth of the one before."""

_MAX_STEP_RAD = 1.0
"""A longer step has lost its way."""

# Products of two of x = X / Z, y = Y / Z, 1 and 1 / Z, then the ray's x and y: by these rows the
# derivatives of x and y by a turn about each axis of the camera and a shift along each are put
# together, and at last what is missing to the ray.
_X, _Y, _ONE, _NEARNESS = 2, 6, 10, 14
_XX, _XY, _YY, _X_NEARNESS, _Y_NEARNESS, _RAY_X, _RAY_Y = 0, 1, 5, 3, 7, 16, 17
_DERIVATIVES: tuple[tuple[Mapping[int, float], Mapping[int, float]], ...] = (
    ({_XY: -1.0}, {_ONE: -1.0, _YY: -1.0}),
    ({_ONE: 1.0, _XX: 1.0}, {_XY: 1.0}),
    ({_Y: -1.0}, {_X: 1.0}),
    ({_NEARNESS: 1.0}, {}),
    ({}, {_NEARNESS: 1.0}),
    ({_X_NEARNESS: -1.0}, {_Y_NEARNESS: -1.0}),
    ({_RAY_X: 1.0, _X: -1.0}, {_RAY_Y: 1.0, _Y: -1.0}),
)
_COMBINED = np.array(
    [[side.get(row, 0.0) for row in range(18)] for pair in _DERIVATIVES for side in pair]
)


class FacePlacer:
    """Places faces; keeps its arrays, nothing of the faces. One for each thread."""

    def __init__(self) -> None:
        # Written in place, and few calls: these are what a step costs, not the arithmetic.
        count = _HOMOGENEOUS_M.shape[1]
        self._placed = np.eye(4)
        self._seen = np.empty((4, count))
        self._terms = np.empty((len(_COMBINED[0]), count))
        self._products, self._rays = self._terms[:16].reshape(4, 4, count), self._terms[16:]

    def points_m(self, placed: Placed) -> npt.NDArray[np.float64]:
        """
        Tell where the rigid points of a face are.

        :returns: (4, N) homogeneous, in the optical frame [m].
        """
        self._placed[:3] = list(zip(*placed))
        return self._placed @ _HOMOGENEOUS_M

    def place(self, rays: npt.NDArray[np.float64]) -> Placed | None:
        """
        Find the pose whose reprojection error is least.

        :param rays: (N, 2) x / z and y / z of the rays to
            :data:`~aitable_ros.perception.head.canonical_face.RIGID_POINTS_M`, finite.
        :returns: None where the steps do not settle: then these are hardly the rays of a face.
        """
        placed = _from_afar(rays)
        self._rays[:] = rays.T
        for _ in range(_MAX_STEPS):
            if placed is None:
                return None
            points_m = self.points_m(placed)
            np.divide(points_m, points_m[2], out=self._seen)
            np.multiply(self._seen[:, None], self._seen, out=self._products)
            rows = (_COMBINED @ self._terms).reshape(len(_DERIVATIVES), -1)
            normal = rows @ rows.T
            solved, step = cv2.solve(normal[:6, :6], normal[:6, 6:], flags=cv2.DECOMP_CHOLESKY)
            if not solved:
                return None
            (p,), (q,), (r,), (x,), (y,), (z,) = step.tolist()
            angle_rad = math.sqrt(p * p + q * q + r * r)
            if not angle_rad < _MAX_STEP_RAD:
                return None
            settled = angle_rad < _SETTLED and abs(z) < _SETTLED * placed[3][2]
            placed = _moved(placed, p, q, r, x, y, z)
            if settled:
                return placed
        return None


def _moved(placed: Placed, p: float, q: float, r: float, x: float, y: float, z: float) -> Placed:
    """Turn by the angle whose half has (p, q, r) / 2 for its tangent, then shift."""
    p, q, r = 0.5 * p, 0.5 * q, 0.5 * r
    pp, qq, rr = p * p, q * q, r * r
    s = 2.0 / (1.0 + pp + qq + rr)
    a, b, c = 1.0 - s * (qq + rr), s * (p * q - r), s * (p * r + q)
    d, e, f = s * (p * q + r), 1.0 - s * (pp + rr), s * (q * r - p)
    g, h, i = s * (p * r - q), s * (q * r + p), 1.0 - s * (pp + qq)
    first, second, third, (u, v, w) = [
        (a * u + b * v + c * w, d * u + e * v + f * w, g * u + h * v + i * w) for u, v, w in placed
    ]
    return first, second, third, (u + x, v + y, w + z)


def _from_afar(rays: npt.NDArray[np.float64]) -> Placed | None:
    """Return the pose by POSIT; None where the rays are those of a point or a line."""
    affine = (_TO_AFFINE @ rays).tolist()
    parts = list(zip(affine[:4], affine[4:8], affine[8:12], affine[12:]))
    c1 = c2 = c3 = 0.0
    z = 1.0
    for _ in range(_STEPS_FROM_AFAR):
        # Turned to the camera by c, a point p of the face is nearer or farther by c p / z of z.
        k1, k2, k3 = c1 / z, c2 / z, c3 / z
        (a1, b1), (a2, b2), (a3, b3), (x, y) = [
            (k1 * u1 + k2 * u2 + k3 * u3 + u, k1 * v1 + k2 * v2 + k3 * v3 + v)
            for (u1, v1), (u2, v2), (u3, v3), (u, v) in parts
        ]
        # The face's axes as seen in x and in y, both 1 / z long and, nearly, at right angles.
        c1, c2, c3 = a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1
        area = math.sqrt(c1 * c1 + c2 * c2 + c3 * c3)
        if not 0.0 < area < math.inf:
            return None
        c1, c2, c3 = c1 / area, c2 / area, c3 / area
        z = 1.0 / math.sqrt(area)
    width = math.sqrt(a1 * a1 + a2 * a2 + a3 * a3)
    a1, a2, a3 = a1 / width, a2 / width, a3 / width
    return (
        (a1, c2 * a3 - c3 * a2, c1),
        (a2, c3 * a1 - c1 * a3, c2),
        (a3, c1 * a2 - c2 * a1, c3),
        (x * z, y * z, z),
    )
