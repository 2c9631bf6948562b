# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the axes of a head lie in the image.

The pose came from a camera whose focal length is not at hand here. It is measured: as the scale
between the face as the pose has it and the face's landmarks in the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M
from aitable_ros.perception.maths.rotation import normalized, to_matrix

AXIS_LENGTH_M = 0.05
"""Of each axis that is drawn, about as long as a nose is high [m]."""

NOSE_TIP = 4
"""Landmark where they begin: the foremost point of the nose, so that none crosses an eye."""

_POINTS = np.array(list(RIGID_POINTS_M))
_MODEL_M = np.array(list(RIGID_POINTS_M.values()))


def head_axes_px(
    landmarks_px: npt.NDArray,
    position_m: Sequence[float],
    orientation_xyzw: Sequence[float],
) -> npt.NDArray[np.float64] | None:
    """
    Project the axes of a head into the image.

    :param landmarks_px: (468, 2 or 3) FaceMesh points of the same face [pixels].
    :param position_m: of the sellion in the camera's optical frame [m]; z is positive.
    :param orientation_xyzw: of the face frame of REP-155 in it: x out of the face, y to the
        person's left, z up.
    :returns: (4, 2) the tip of the nose, and where the x, y and z axes that begin there end
        [pixels]; None when something is not finite or the pose cannot be seen.
    """
    points = np.asarray(landmarks_px, np.float64)[_POINTS, :2]
    position = np.asarray(position_m, np.float64)
    values = np.concatenate((points.ravel(), position, np.asarray(orientation_xyzw)))
    if not np.isfinite(values).all() or position[2] <= 0.0:
        return None
    try:
        rotation = np.array(to_matrix(normalized(orientation_xyzw)))
    except ValueError:
        return None
    model = _projected(position + _MODEL_M @ rotation.T)
    nose_m = position + rotation @ RIGID_POINTS_M[NOSE_TIP]
    axes = _projected(nose_m + np.vstack((np.zeros(3), AXIS_LENGTH_M * rotation.T)))
    if model is None or axes is None:
        return None
    model -= model.mean(axis=0)
    size = float((model * model).sum())
    focal_px = float((model * (points - points.mean(axis=0))).sum()) / size if size > 0.0 else 0.0
    if focal_px <= 0.0:
        return None
    return points[_POINTS == NOSE_TIP] + focal_px * (axes - axes[0])


def _projected(points_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Project onto the plane at distance 1; None when a point is not before the camera."""
    depth_m = points_m[:, 2:]
    return points_m[:, :2] / depth_m if depth_m.min() > 0.0 else None
