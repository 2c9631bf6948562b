# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How far eyes and mouth are open, as ratios of landmark distances."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import (
    LEFT_EYE_EAR,
    RIGHT_EYE_EAR,
    check_landmarks,
)

INNER_LIPS = (13, 14, 78, 308)
"""FaceMesh indices of the inner lips: upper middle, lower middle, right and left corner."""

# A width below this is no eye or mouth but a collapsed or missing set of landmarks.
_MIN_WIDTH_PX = 1e-3

_EYE_ROWS = np.array(RIGHT_EYE_EAR + LEFT_EYE_EAR)
_LIP_ROWS = np.array(INNER_LIPS)


class EyeAspectRatios(NamedTuple):
    """
    The eye aspect ratios (EAR) of one face in one image.

    :ivar left: of the subject's left eye; NaN: not measurable.
    :ivar right: of the subject's right eye; NaN: not measurable.
    """

    left: float
    right: float


def eye_aspect_ratio(lid_points_px: npt.ArrayLike) -> float:
    """
    Compute the EAR of one eye from its six lid points.

    EAR = (d(p2, p6) + d(p3, p5)) / (2 d(p1, p4)), d the distance, after Soukupova and Cech,
    "Real-Time Eye Blink Detection using Facial Landmarks", CVWW 2016. p1 and p4 are the corners,
    p2 and p3 on the upper lid, p6 and p5 below them on the lower lid. Coordinates must be in
    pixels: in coordinates normalised by width and height the ratio depends on the picture's
    shape.

    :param lid_points_px: (6, 2) or (6, 3) array-like p1..p6; a third column (depth) is ignored.
    :returns: the ratio, about 0.2 to 0.4 for an open eye; NaN when a coordinate is not finite or
        the corners coincide.
    :raises ValueError: when the shape is another.
    """
    points = np.asarray(lid_points_px, dtype=np.float64)
    if points.shape not in ((6, 2), (6, 3)):
        raise ValueError(f'expected lid points of shape (6, 2) or (6, 3), got {points.shape}')
    return _aspect_ratio(points.tolist())


def eye_aspect_ratios(landmarks_px: npt.NDArray) -> EyeAspectRatios:
    """
    Compute the EAR of both eyes from face mesh landmarks.

    :param landmarks_px: (468, 2) or (468, 3) landmarks in image pixels; a third column (depth)
        is ignored, rows after the first 468 too.
    :returns: the ratios of the subject's left and right eye, see :func:`eye_aspect_ratio`.
    :raises ValueError: when the shape is another.
    """
    points = _rows(landmarks_px, _EYE_ROWS)
    return EyeAspectRatios(left=_aspect_ratio(points[6:]), right=_aspect_ratio(points[:6]))


def mouth_aspect_ratio(landmarks_px: npt.NDArray) -> float:
    """
    Compute the mouth aspect ratio (MAR): opening of the inner lips over their width.

    MAR = d(13, 14) / d(78, 308), d the distance. There is no canonical definition; this one
    is 0 for closed lips, whatever their thickness.

    :param landmarks_px: (468, 2) or (468, 3) landmarks in image pixels, as for
        :func:`eye_aspect_ratios`.
    :returns: the ratio; NaN when a coordinate is not finite or the corners coincide.
    :raises ValueError: when the shape is another.
    """
    upper, lower, right, left = _rows(landmarks_px, _LIP_ROWS)
    width = math.hypot(right[0] - left[0], right[1] - left[1])
    height = math.hypot(upper[0] - lower[0], upper[1] - lower[1])
    return _ratio(height, width)


def _rows(landmarks_px: npt.NDArray, rows: npt.NDArray[np.intp]) -> list[list[float]]:
    check_landmarks(landmarks_px)
    return landmarks_px.take(rows, axis=0).tolist()


def _aspect_ratio(p: list[list[float]]) -> float:
    # Scalar arithmetic: for a dozen points it is ten times faster than NumPy's.
    opening = math.hypot(p[1][0] - p[5][0], p[1][1] - p[5][1]) + math.hypot(
        p[2][0] - p[4][0], p[2][1] - p[4][1]
    )
    return _ratio(opening, 2 * math.hypot(p[0][0] - p[3][0], p[0][1] - p[3][1]))


def _ratio(opening_px: float, width_px: float) -> float:
    if width_px < _MIN_WIDTH_PX or not math.isfinite(opening_px) or not math.isfinite(width_px):
        return math.nan
    return opening_px / width_px
