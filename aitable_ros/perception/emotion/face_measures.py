# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The shape of a face: turned to the front, measured, and what it measures at rest.

:func:`frontalise` undoes how the head is held, :func:`measure_face` takes the distances that the
muscles of expression change, and :class:`NeutralFace` says where these lie on neutral faces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import LANDMARKS, LEFT_EYE_EAR, RIGHT_EYE_EAR

_RIGID_SHAPE: Mapping[int, tuple[float, float, float]] = MappingProxyType(
    {
        33: (-0.500, 0.000, 0.000),
        133: (-0.200, -0.012, 0.058),
        362: (0.200, -0.012, 0.058),
        263: (0.500, 0.000, 0.000),
        168: (0.000, 0.051, 0.239),
        6: (0.000, -0.037, 0.289),
        197: (0.000, -0.115, 0.347),
        195: (0.000, -0.189, 0.411),
        5: (0.000, -0.268, 0.475),
        4: (0.000, -0.364, 0.505),
        10: (0.000, 0.591, 0.170),
        127: (-0.792, -0.061, -0.552),
        356: (0.792, -0.061, -0.552),
        234: (-0.785, -0.224, -0.596),
        454: (0.785, -0.224, -0.596),
    }
)
"""
Landmark index -> (to the person's left, up, out of the face) in eye spans.

Median shape of FaceMesh's output on frontal neutral pictures (336 of the public collection
muxspace/facial_expressions, mostly press photographs, and 10 of JAFFE weighted fivefold), aligned
by generalised Procrustes analysis and made symmetric; moved by the median difference of the
attention mesh's output on 400 of that collection, where eyes are 2 % narrower.
"""

_RIGID_POINTS = np.array(list(_RIGID_SHAPE.values()), dtype=np.float64)
_RIGID_CENTRE = _RIGID_POINTS.mean(axis=0)
_RIGID_OFFSETS = _RIGID_POINTS - _RIGID_CENTRE
_RIGID_SPREAD = math.sqrt(np.vdot(_RIGID_OFFSETS, _RIGID_OFFSETS))

_MEASURED = (
    *(0, 2, 13, 14, 17, 33, 46, 55, 61, 64, 70, 107, 117, 118, 129, 133, 144, 145, 153, 158, 160),
    *(263, 276, 285, 291, 294, 300, 336, 346, 347, 358, 362, 373, 374, 380, 385, 387),
)
"""The landmarks that :func:`measure_face` looks at."""

_LOOKED_AT = np.array((*_RIGID_SHAPE, *_MEASURED), dtype=np.intp)
_RIGID = slice(len(_RIGID_SHAPE))

_UP_AND_OUT = np.array((1.0, -1.0, -1.0))
_MEAN = np.full(len(_RIGID_SHAPE), 1.0 / len(_RIGID_SHAPE))


@dataclass(frozen=True, eq=False)
class FrontalFace:
    """
    A face turned to the front.

    :param points: landmark index -> (x, y, z) in eye spans, of those that are measured: x to the
        person's left, y up, z out of the face, the origin between the outer eye corners.
    :param yaw_rad: how far the head was turned about its own vertical, away from the camera;
        positive: to the person's left.
    :param pitch_rad: how far it was tilted; up is positive.
    :param eye_span_px: size of the face in the image: the outer eye corners' distance, were it
        seen from the front [pixels].
    :param residual: RMS distance of the rigid points from the neutral shape, in eye spans; 0.02
        is usual, 0.05 the 95th percentile on pictures of real faces.
    """

    points: Mapping[int, Sequence[float]]
    yaw_rad: float
    pitch_rad: float
    eye_span_px: float
    residual: float

    @property
    def turn_rad(self) -> float:
        """Angle between the face's forward direction and the line to the camera."""
        cosine = math.cos(self.yaw_rad) * math.cos(self.pitch_rad)
        return math.acos(min(max(cosine, -1.0), 1.0))

    @cached_property
    def measures(self) -> FaceMeasures:
        """What :func:`measure_face` gives, taken once."""
        return measure_face(self)


def frontalise(landmarks_px: npt.ArrayLike) -> FrontalFace | None:
    """
    Undo rotation, scale and position of a face.

    The similarity transform is the least-squares one (Kabsch 1976; Umeyama 1991) between the
    rigid points and their neutral shape. FaceMesh's weak-perspective z makes that legitimate.

    :param landmarks_px: (468 or more, 3) FaceMesh points: x right, y down [pixels], z in the
        scale of x, smaller is nearer.
    :returns: the frontal face; None where points that are looked at are not finite or collapsed.
    :raises ValueError: when the shape is another.
    """
    landmarks = np.asarray(landmarks_px)
    if landmarks.ndim != 2 or landmarks.shape[0] < LANDMARKS or landmarks.shape[1] != 3:
        raise ValueError(f'landmarks must have shape (468, 3), got {landmarks.shape}')
    points = landmarks.take(_LOOKED_AT, axis=0) * _UP_AND_OUT
    if not math.isfinite(np.vdot(points, points)):
        return None
    centre = _MEAN @ points[_RIGID]
    points -= centre
    rigid = points[_RIGID]
    spread_px = math.sqrt(np.vdot(rigid, rigid))
    scale = spread_px / _RIGID_SPREAD
    if not scale >= 1e-6:
        return None
    # Normalised before the SVD, so that huge or tiny coordinates cannot overflow. OpenCV's: of
    # 3 x 3 numbers less than half of NumPy's time.
    _, u, vt = cv2.SVDecomp((rigid / spread_px).T @ _RIGID_OFFSETS)
    # The third axes from the others: then it is no mirror image.
    (a1, a2, _), (b1, b2, _), (c1, c2, _) = u.tolist()
    u[:, 2] = b1 * c2 - c1 * b2, c1 * a2 - a1 * c2, a1 * b2 - b1 * a2
    (a1, b1, c1), (a2, b2, c2), _ = vt.tolist()
    vt[2] = b1 * c2 - c1 * b2, c1 * a2 - a1 * c2, a1 * b2 - b1 * a2
    rotation = u @ vt
    frontal = points @ (rotation / scale) + _RIGID_CENTRE
    offsets = frontal[_RIGID] - _RIGID_POINTS
    # The camera's direction as the head sees it: roll does not mix into yaw and pitch.
    x, y, z = rotation[2].tolist()
    return FrontalFace(
        points=dict(zip(_MEASURED, frontal[_RIGID.stop :].tolist())),
        yaw_rad=math.atan2(-x, z),
        pitch_rad=math.asin(min(max(-y, -1.0), 1.0)),
        eye_span_px=scale,
        residual=math.sqrt(np.vdot(offsets, offsets) / len(offsets)),
    )


class FaceMeasures(NamedTuple):
    """
    What the muscles of expression change, in eye spans; means of both sides unless said.

    :ivar inner_brow_height: inner brow ends above the inner eye corners.
    :ivar outer_brow_height: outer brow ends above the outer eye corners.
    :ivar brow_slope: inner above outer brow ends: large is the oblique brow of grief, small the
        V of anger.
    :ivar brow_distance: between the inner brow ends.
    :ivar eye_aspect_ratio: lid opening over eye width (Soukupova & Cech 2016), a ratio.
    :ivar lower_lid_height: lower lid above the line through the eye corners (negative).
    :ivar cheek_height: cheek below the eye, above that line (negative).
    :ivar nostril_height: nostril wings above that line (negative).
    :ivar upper_lip_length: base of the nose to the upper lip's edge.
    :ivar lip_thickness: visible red of both lips.
    :ivar lip_gap: between the inner lips.
    :ivar mouth_width: between the mouth corners.
    :ivar corner_height: mouth corners above the middle of the mouth; a quarter of the lip gap
        is taken off, which is what an opening jaw alone adds.
    :ivar corner_depth: mouth corners in front of the middle of the mouth (negative).
    :ivar corner_asymmetry: pull (upwards plus half of outwards) of the right mouth corner minus
        that of the left.
    """

    inner_brow_height: float
    outer_brow_height: float
    brow_slope: float
    brow_distance: float
    eye_aspect_ratio: float
    lower_lid_height: float
    cheek_height: float
    nostril_height: float
    upper_lip_length: float
    lip_thickness: float
    lip_gap: float
    mouth_width: float
    corner_height: float
    corner_depth: float
    corner_asymmetry: float


def measure_face(face: FrontalFace) -> FaceMeasures:
    """
    Take the distances that the action units are read from.

    :param face: from :func:`frontalise`.
    """
    points = face.points

    def level(*indices: int) -> float:
        return sum([points[i][1] for i in indices]) / len(indices)

    def distance(a: int, b: int) -> float:
        return math.dist(points[a], points[b])

    def aspect_ratio(p: tuple[int, ...]) -> float:
        width = distance(p[0], p[3])
        if width < 1e-6:
            return 0.0
        return (distance(p[1], p[5]) + distance(p[2], p[4])) / (2.0 * width)

    eye_line = level(33, 133, 362, 263)
    inner_brow = level(55, 107, 285, 336)
    outer_brow = level(46, 70, 276, 300)
    gap = distance(13, 14)
    right, left = points[61], points[291]
    pull_right = right[1] - 0.5 * right[0]
    pull_left = left[1] + 0.5 * left[0]
    return FaceMeasures(
        inner_brow_height=inner_brow - level(133, 362),
        outer_brow_height=outer_brow - level(33, 263),
        brow_slope=inner_brow - outer_brow,
        brow_distance=0.5 * (distance(55, 285) + distance(107, 336)),
        eye_aspect_ratio=0.5 * (aspect_ratio(RIGHT_EYE_EAR) + aspect_ratio(LEFT_EYE_EAR)),
        lower_lid_height=level(145, 153, 374, 380) - eye_line,
        cheek_height=level(117, 118, 346, 347) - eye_line,
        nostril_height=level(64, 129, 294, 358) - eye_line,
        upper_lip_length=level(2) - level(0),
        lip_thickness=distance(0, 13) + distance(14, 17),
        lip_gap=gap,
        mouth_width=distance(61, 291),
        corner_height=level(61, 291) - level(13, 14) - 0.25 * gap,
        corner_depth=0.5 * (right[2] + left[2]) - 0.5 * (points[13][2] + points[14][2]),
        corner_asymmetry=pull_right - pull_left,
    )


@dataclass(frozen=True)
class NeutralBand:
    """
    Where a measure lies on neutral faces.

    :param low: lower edge, in the measure's unit.
    :param high: upper edge.
    :param per_pitch: how both edges move per radian of head pitch (up positive): turning the
        shape to the front does not undo what FaceMesh's depth gets wrong, nor lids that follow
        the gaze.
    :raises ValueError: when the edges are not finite or not in order.
    """

    low: float
    high: float
    per_pitch: float = 0.0

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (self.low, self.high, self.per_pitch)))
        if not (finite and self.low < self.high):
            raise ValueError(f'a neutral band needs finite low < high, got {self}')

    def above(self, value: float, pitch_rad: float) -> float:
        """Return by how much a value exceeds the band, 0 inside."""
        return max(0.0, value - self.high - self.per_pitch * pitch_rad)

    def below(self, value: float, pitch_rad: float) -> float:
        """Return by how much a value falls short of the band, 0 inside."""
        return max(0.0, self.low + self.per_pitch * pitch_rad - value)


@dataclass(frozen=True)
class NeutralFace:
    """
    The face at rest: one band per field of :class:`FaceMeasures`.

    The default is the population's. The bands of one person are far narrower; a calibration
    hands its own to
    :meth:`~aitable_ros.perception.emotion.expression_geometry.GeometryExpression.estimate_face`.

    The bands span about the 10th to 90th percentile of FaceMesh's output on frontal neutral
    pictures of both collections named at the rigid shape, moved by how far the attention mesh's
    percentiles lie from FaceMesh's on the same 400. By judgement on half of the labelled
    pictures there, the upper edge of ``nostril_height``, the lower one of ``upper_lip_length``
    and both of ``corner_asymmetry`` are wider, since those differ most between people, and the
    upper one of ``lip_gap`` is narrower, since lips part in talking. ``per_pitch`` is the slope
    of a line fitted to the neutral pictures where |r| > 0.3 and it mattered.
    """

    inner_brow_height: NeutralBand = NeutralBand(0.164, 0.291)
    outer_brow_height: NeutralBand = NeutralBand(0.116, 0.209)
    brow_slope: NeutralBand = NeutralBand(0.020, 0.070)
    brow_distance: NeutralBand = NeutralBand(0.271, 0.353)
    eye_aspect_ratio: NeutralBand = NeutralBand(0.207, 0.342)
    lower_lid_height: NeutralBand = NeutralBand(-0.041, -0.015, -0.029)
    cheek_height: NeutralBand = NeutralBand(-0.216, -0.183)
    nostril_height: NeutralBand = NeutralBand(-0.464, -0.385, 0.080)
    upper_lip_length: NeutralBand = NeutralBand(0.134, 0.231)
    lip_thickness: NeutralBand = NeutralBand(0.156, 0.238)
    lip_gap: NeutralBand = NeutralBand(0.000, 0.103)
    mouth_width: NeutralBand = NeutralBand(0.465, 0.601)
    corner_height: NeutralBand = NeutralBand(-0.044, 0.010, -0.055)
    corner_depth: NeutralBand = NeutralBand(-0.154, -0.122)
    corner_asymmetry: NeutralBand = NeutralBand(-0.055, 0.055)


POPULATION_NEUTRAL = NeutralFace()
"""The neutral face of people in general."""
