# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A facial expression from the shape of the face alone: the stand-in while EmoNet has no weights.

Four steps, each deterministic and documented where it stands:

1. :func:`frontalise`: the 468 landmarks are turned, scaled and shifted in 3-D so that the points
   which no facial muscle moves (eye corners, nose ridge, temples, hairline) fit a neutral face.
   Roll, yaw, pitch, distance and position drop out.
2. :func:`measure_face`: about a dozen distances in units of the eye span (between the outer eye
   corners): mouth corners, lips, jaw, brows, lids, cheeks, nostrils.
3. :func:`action_units`: how far each distance lies outside the band of neutral faces, as
   intensities 0..1 of the action units (AUs) of the Facial Action Coding System (Ekman & Friesen
   1978; Ekman, Friesen & Hager 2002).
4. :class:`GeometryExpression`: the AUs against the published prototypes of the expressions;
   a softmax gives the probabilities, and these give valence and arousal.

What it cannot do: FaceMesh's base model hardly moves the brows, so raised and lowered brows are
seen only when they are strong; people differ more at rest than a slight expression moves a face,
so without a person's own neutral face slight expressions read as neutral;
:mod:`aitable_ros.analysis.neutral_face` learns it. The confidence is capped for that
reason, and lower for sadness, fear, disgust and anger (:data:`WEAK_EXPRESSIONS`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from aitable_ros.analysis.expression import (
    ANGER,
    DISGUST,
    EXPRESSIONS,
    FEAR,
    NEUTRAL,
    SAD,
    EmotionEstimate,
)

BACKEND = 'geometry'

MESH_POINTS = 468
"""Points of MediaPipe FaceMesh; further ones (irises) are ignored."""

_RIGID_SHAPE: Mapping[int, tuple[float, float, float]] = MappingProxyType(
    {
        33: (-0.500, 0.000, 0.000),
        133: (-0.193, -0.013, 0.056),
        362: (0.193, -0.013, 0.056),
        263: (0.500, 0.000, 0.000),
        168: (0.000, 0.050, 0.238),
        6: (0.000, -0.035, 0.289),
        197: (0.000, -0.112, 0.346),
        195: (0.000, -0.185, 0.409),
        5: (0.000, -0.263, 0.473),
        4: (0.000, -0.358, 0.502),
        10: (0.000, 0.569, 0.170),
        127: (-0.770, -0.062, -0.546),
        356: (0.770, -0.062, -0.546),
        234: (-0.761, -0.219, -0.591),
        454: (0.761, -0.219, -0.591),
    }
)
"""
Landmark index -> (to the person's left, up, out of the face) in eye spans.

Median shape of FaceMesh's own output on frontal neutral pictures (336 of the public collection
muxspace/facial_expressions, mostly press photographs, and 10 of JAFFE weighted fivefold), aligned
by generalised Procrustes analysis and made symmetric.
"""

_RIGID_INDICES = np.array(list(_RIGID_SHAPE), dtype=np.intp)
_RIGID_POINTS = np.array(list(_RIGID_SHAPE.values()), dtype=np.float64)

_RIGHT_EYE_EAR = (33, 160, 158, 133, 153, 144)
_LEFT_EYE_EAR = (362, 385, 387, 263, 373, 380)

_MEASURED = (
    *(0, 2, 13, 14, 17, 33, 46, 55, 61, 64, 70, 107, 117, 118, 129, 133, 144, 145, 153, 158, 160),
    *(263, 276, 285, 291, 294, 300, 336, 346, 347, 358, 362, 373, 374, 380, 385, 387),
)
"""The landmarks that :func:`measure_face` looks at."""

_MEASURED_INDICES = np.array(_MEASURED, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class FrontalFace:
    """
    A face turned to the front.

    :param points: (468, 3) in eye spans: x to the person's left, y up, z out of the face, the
        origin between the outer eye corners.
    :param yaw_rad: how far the head was turned about its own vertical, away from the camera;
        positive: to the person's left.
    :param pitch_rad: how far it was tilted; up is positive.
    :param eye_span_px: size of the face in the image: the outer eye corners' distance, were it
        seen from the front [pixels].
    :param residual: RMS distance of the rigid points from the neutral shape, in eye spans; 0.02
        is usual, 0.05 the 95th percentile on pictures of real faces.
    """

    points: npt.NDArray[np.float64]
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
    :returns: the frontal face; None where the points are not finite or have collapsed.
    :raises ValueError: when the shape is another.
    """
    landmarks = np.asarray(landmarks_px, dtype=np.float64)
    if landmarks.ndim != 2 or landmarks.shape[0] < MESH_POINTS or landmarks.shape[1] != 3:
        raise ValueError(f'landmarks must have shape (468, 3), got {landmarks.shape}')
    landmarks = landmarks[:MESH_POINTS]
    if not np.isfinite(landmarks).all():
        return None
    points = landmarks * (1.0, -1.0, -1.0)
    rigid = points[_RIGID_INDICES]
    centre = rigid.mean(axis=0)
    rigid = rigid - centre
    target_centre = _RIGID_POINTS.mean(axis=0)
    target = _RIGID_POINTS - target_centre
    with np.errstate(over='ignore'):
        spread_px = float(np.sqrt((rigid**2).sum()))
    scale = spread_px / float(np.sqrt((target**2).sum()))
    if not np.isfinite(scale) or scale < 1e-6:
        return None
    # Normalised before the SVD, so that huge or tiny coordinates cannot overflow.
    u, _, vt = np.linalg.svd((rigid / spread_px).T @ target)
    handedness = np.sign(np.linalg.det(u @ vt)) or 1.0
    rotation = u @ np.diag((1.0, 1.0, handedness)) @ vt
    frontal = (points - centre) / scale @ rotation + target_centre
    residual = np.sqrt(((frontal[_RIGID_INDICES] - _RIGID_POINTS) ** 2).sum(axis=1).mean())
    # The camera's direction as the head sees it: roll does not mix into yaw and pitch.
    x, y, z = rotation[2].tolist()
    return FrontalFace(
        points=frontal,
        yaw_rad=math.atan2(-x, z),
        pitch_rad=math.asin(min(max(-y, -1.0), 1.0)),
        eye_span_px=scale,
        residual=float(residual),
    )


@dataclass(frozen=True)
class FaceMeasures:
    """
    What the muscles of expression change, in eye spans; means of both sides unless said.

    :param inner_brow_height: inner brow ends above the inner eye corners.
    :param outer_brow_height: outer brow ends above the outer eye corners.
    :param brow_slope: inner above outer brow ends: large is the oblique brow of grief, small the
        V of anger.
    :param brow_distance: between the inner brow ends.
    :param eye_aspect_ratio: lid opening over eye width (Soukupova & Cech 2016), a ratio.
    :param lower_lid_height: lower lid above the line through the eye corners (negative).
    :param cheek_height: cheek below the eye, above that line (negative).
    :param nostril_height: nostril wings above that line (negative).
    :param upper_lip_length: base of the nose to the upper lip's edge.
    :param lip_thickness: visible red of both lips.
    :param lip_gap: between the inner lips.
    :param mouth_width: between the mouth corners.
    :param corner_height: mouth corners above the middle of the mouth; a quarter of the lip gap
        is taken off, which is what an opening jaw alone adds.
    :param corner_depth: mouth corners in front of the middle of the mouth (negative).
    :param corner_asymmetry: pull (upwards plus half of outwards) of the right mouth corner minus
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
    # a few dozen numbers: in Python faster than one NumPy call for each of them
    points = dict(zip(_MEASURED, face.points[_MEASURED_INDICES].tolist()))

    def level(*indices: int) -> float:
        return sum(points[i][1] for i in indices) / len(indices)

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
        eye_aspect_ratio=0.5 * (aspect_ratio(_RIGHT_EYE_EAR) + aspect_ratio(_LEFT_EYE_EAR)),
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
    hands its own to :meth:`GeometryExpression.estimate`.

    The bands span about the 10th to 90th percentile of FaceMesh's output on frontal neutral
    pictures of both collections named at the rigid shape. By judgement on half of the labelled
    pictures there, the upper edge of ``nostril_height``, the lower one of ``upper_lip_length``
    and both of ``corner_asymmetry`` are wider, since those differ most between people, and the
    upper one of ``lip_gap`` is narrower, since lips part in talking. ``per_pitch`` is the slope
    of a line fitted to the neutral pictures where |r| > 0.3 and it mattered.
    """

    inner_brow_height: NeutralBand = NeutralBand(0.165, 0.285)
    outer_brow_height: NeutralBand = NeutralBand(0.110, 0.195)
    brow_slope: NeutralBand = NeutralBand(0.036, 0.072)
    brow_distance: NeutralBand = NeutralBand(0.275, 0.345)
    eye_aspect_ratio: NeutralBand = NeutralBand(0.230, 0.335, -0.138)
    lower_lid_height: NeutralBand = NeutralBand(-0.044, -0.023, -0.034)
    cheek_height: NeutralBand = NeutralBand(-0.215, -0.186)
    nostril_height: NeutralBand = NeutralBand(-0.455, -0.380, 0.080)
    upper_lip_length: NeutralBand = NeutralBand(0.140, 0.192)
    lip_thickness: NeutralBand = NeutralBand(0.180, 0.225, 0.040)
    lip_gap: NeutralBand = NeutralBand(0.000, 0.080)
    mouth_width: NeutralBand = NeutralBand(0.490, 0.605)
    corner_height: NeutralBand = NeutralBand(-0.030, 0.003, -0.040)
    corner_depth: NeutralBand = NeutralBand(-0.159, -0.126)
    corner_asymmetry: NeutralBand = NeutralBand(-0.050, 0.050)


POPULATION_NEUTRAL = NeutralFace()
"""The neutral face of people in general."""


@dataclass(frozen=True)
class ActionUnits:
    """
    Intensities of action units, 0 (none) .. 1 (plain: C to D on the scale of FACS).

    :param inner_brow_raiser: AU1.
    :param outer_brow_raiser: AU2.
    :param brow_lowerer: AU4.
    :param upper_lid_raiser: AU5.
    :param cheek_raiser: AU6.
    :param lid_tightener: AU7.
    :param nose_wrinkler: AU9.
    :param upper_lip_raiser: AU10.
    :param lip_corner_puller: AU12, both sides.
    :param lip_corner_depressor: AU15.
    :param lip_stretcher: AU20.
    :param lip_pressor: AU24.
    :param lips_part: AU25.
    :param jaw_drop: AU26 and AU27.
    :param unilateral_corner: AU12 or AU14 of one side only.
    """

    inner_brow_raiser: float
    outer_brow_raiser: float
    brow_lowerer: float
    upper_lid_raiser: float
    cheek_raiser: float
    lid_tightener: float
    nose_wrinkler: float
    upper_lip_raiser: float
    lip_corner_puller: float
    lip_corner_depressor: float
    lip_stretcher: float
    lip_pressor: float
    lips_part: float
    jaw_drop: float
    unilateral_corner: float


def action_units(
    measures: FaceMeasures, neutral: NeutralFace = POPULATION_NEUTRAL, pitch_rad: float = 0.0
) -> ActionUnits:
    """
    Read action units off the measures.

    An AU is at full intensity where its measure lies a full range outside the neutral band. The
    ranges are the median changes from a person's own neutral face to the posed expression that
    shows the AU most in JAFFE (Lyons et al. 1998), measured on FaceMesh's output and rounded.

    :param measures: from :func:`measure_face`.
    :param neutral: what the face is compared with.
    :param pitch_rad: pitch of the head, up positive.
    """

    def over(name: str, full: float) -> float:
        band: NeutralBand = getattr(neutral, name)
        return min(1.0, band.above(getattr(measures, name), pitch_rad) / full)

    def under(name: str, full: float) -> float:
        band: NeutralBand = getattr(neutral, name)
        return min(1.0, band.below(getattr(measures, name), pitch_rad) / full)

    # A smile widens the mouth, lifts its corners and draws them back. A dropping jaw may draw
    # them back too, and a stretched mouth is wide: at least two of the three make a smile.
    curve = over('corner_height', 0.030)
    width = over('mouth_width', 0.120)
    retraction = under('corner_depth', 0.045)
    smile = sorted((curve, width, retraction))[1]
    not_smile = 1.0 - smile
    gap = over('lip_gap', 0.060)
    oblique = over('brow_slope', 0.025)
    return ActionUnits(
        inner_brow_raiser=max(over('inner_brow_height', 0.050), oblique),
        outer_brow_raiser=over('outer_brow_height', 0.040),
        brow_lowerer=min(
            1.0,
            under('inner_brow_height', 0.040)
            + under('brow_slope', 0.025)
            + 0.5 * under('brow_distance', 0.030),
        ),
        upper_lid_raiser=over('eye_aspect_ratio', 0.060),
        cheek_raiser=over('cheek_height', 0.030),
        lid_tightener=over('lower_lid_height', 0.012),
        # Smiling cheeks lift nostrils and upper lip as well.
        nose_wrinkler=over('nostril_height', 0.030) * not_smile,
        upper_lip_raiser=under('upper_lip_length', 0.030) * not_smile,
        lip_corner_puller=smile,
        lip_corner_depressor=under('corner_height', 0.020),
        lip_stretcher=width * not_smile,
        lip_pressor=under('lip_thickness', 0.030) * (1.0 - gap) * not_smile,
        lips_part=gap,
        jaw_drop=over('lip_gap', 0.200),
        unilateral_corner=max(over('corner_asymmetry', 0.080), under('corner_asymmetry', 0.080)),
    )


_AU_NAMES = tuple(f.name for f in fields(ActionUnits))

_PROTOTYPES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        'happy': {
            'lip_corner_puller': 1.0,
            'cheek_raiser': 0.51,
            'lips_part': 0.25,
        },
        'sad': {
            'brow_lowerer': 1.0,
            'lip_corner_depressor': 1.0,
            'inner_brow_raiser': 0.60,
            'cheek_raiser': 0.50,
        },
        'surprise': {
            'inner_brow_raiser': 1.0,
            'outer_brow_raiser': 1.0,
            'lips_part': 1.0,
            'jaw_drop': 1.0,
            'upper_lid_raiser': 0.66,
        },
        'fear': {
            'inner_brow_raiser': 1.0,
            'brow_lowerer': 1.0,
            'lip_stretcher': 1.0,
            'lips_part': 1.0,
            'upper_lid_raiser': 0.63,
            'outer_brow_raiser': 0.57,
            'jaw_drop': 0.33,
        },
        'disgust': {
            'nose_wrinkler': 1.0,
            'upper_lip_raiser': 1.0,
            'brow_lowerer': 0.31,
            'lip_corner_depressor': 0.30,
        },
        'anger': {
            'brow_lowerer': 1.0,
            'lid_tightener': 1.0,
            'lip_pressor': 1.0,
            'upper_lip_raiser': 0.26,
        },
        'contempt': {
            'unilateral_corner': 1.0,
        },
    }
)
"""
Share of people who show an AU with an expression.

From Du, Tao & Martinez (2014), 'Compound facial expressions of emotion', PNAS 111(15), table 1,
where 1.0 stands for 'more than 70 %'; AUs that the mesh does not show (11, 17, 23) are left out.
Lips part in happiness counts a quarter, since talking parts them too. Lip corners down in disgust:
EMFACS (9 + 15 + 16). Contempt is not in that study: one-sided AU12 and AU14 of EMFACS.
"""

_OPPOSED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'happy': ('lip_corner_depressor', 'brow_lowerer', 'upper_lip_raiser'),
        'sad': ('lip_corner_puller', 'outer_brow_raiser', 'jaw_drop', 'upper_lid_raiser'),
        'surprise': (
            'lip_corner_puller',
            'brow_lowerer',
            'nose_wrinkler',
            'cheek_raiser',
            'lid_tightener',
        ),
        'fear': ('lip_corner_puller', 'nose_wrinkler', 'lid_tightener', 'cheek_raiser'),
        'disgust': ('lip_corner_puller', 'outer_brow_raiser', 'inner_brow_raiser'),
        'anger': ('lip_corner_puller', 'outer_brow_raiser', 'inner_brow_raiser'),
        'contempt': ('jaw_drop', 'brow_lowerer', 'outer_brow_raiser', 'upper_lip_raiser'),
    }
)
"""AUs whose muscles pull against an expression's own or that tell it from its neighbours."""


def _prototype_matrix(opposed_weight: float) -> npt.NDArray[np.float64]:
    matrix = np.zeros((len(EXPRESSIONS), len(_AU_NAMES)))
    for row, name in enumerate(EXPRESSIONS):
        prototype = _PROTOTYPES.get(name, {})
        total = sum(prototype.values())
        for unit, weight in prototype.items():
            matrix[row, _AU_NAMES.index(unit)] = weight / total
        for unit in _OPPOSED.get(name, ()):
            matrix[row, _AU_NAMES.index(unit)] = -opposed_weight
    return matrix


VALENCE_AROUSAL = np.array(
    [
        (0.00, 0.00),
        (0.81, 0.51),
        (-0.63, -0.27),
        (0.40, 0.67),
        (-0.64, 0.60),
        (-0.60, 0.35),
        (-0.51, 0.59),
        (-0.55, 0.20),
    ]
)
"""
Valence and arousal by expression, (8, 2).

Pleasure and arousal of the terms happy, sad, surprised, fearful, disgusted and angry in Russell &
Mehrabian (1977), 'Evidence for a three-factor theory of emotions', the means that Russell's
circumplex (1980) arranges. Neutral is the origin by definition. Contempt has no value there; it
is placed beside disgust, less aroused.
"""


WEAK_EXPRESSIONS = frozenset({SAD, FEAR, DISGUST, ANGER})
"""
Expressions that are often missed or taken for one another on real faces.

Their prototypes lean on the brows, which FaceMesh hardly moves, and share the rest: lowered mouth
corners belong to sadness and disgust, a raised upper lip to disgust and anger.
"""


@dataclass(frozen=True)
class GeometrySettings:
    """
    Parameters of the estimator.

    :param gain: score of an expression whose prototype is shown completely.
    :param neutral_score: score of neutral; against it a face must show something.
    :param opposed_weight: what a contradicting AU costs, as a share of ``gain``.
    :param max_confidence: the confidence of a perfect match on a large frontal face.
    :param weak_max_confidence: the same for the expressions of :data:`WEAK_EXPRESSIONS`.
    :param full_turn_rad: up to here a turned head costs no confidence.
    :param max_turn_rad: from here on the expression is unknown.
    :param min_eye_span_px: below, the expression is unknown: the mesh is a guess.
    :param full_eye_span_px: from here on, size costs no confidence.
    :param max_residual: from here on the mesh does not have the shape of a face, and the
        expression is unknown; half of it costs no confidence [eye spans].
    :raises ValueError: when a value is out of order.
    """

    gain: float = 12.0
    neutral_score: float = 2.5
    opposed_weight: float = 0.3
    max_confidence: float = 0.6
    weak_max_confidence: float = 0.4
    full_turn_rad: float = 0.35
    max_turn_rad: float = 1.05
    min_eye_span_px: float = 12.0
    full_eye_span_px: float = 48.0
    max_residual: float = 0.20

    def __post_init__(self) -> None:
        positive = (self.gain, self.neutral_score, self.opposed_weight, self.max_residual)
        if not all(0.0 < value < float('inf') for value in positive):
            raise ValueError(f'gain, scores, weights and residual must be positive, got {self}')
        if not 0.0 < self.max_confidence <= 1.0:
            raise ValueError(f'max_confidence must lie in 0..1, got {self.max_confidence}')
        if not 0.0 < self.weak_max_confidence <= self.max_confidence:
            raise ValueError(f'weak_max_confidence must lie in 0..max_confidence, got {self}')
        if not 0.0 <= self.full_turn_rad < self.max_turn_rad <= np.pi:
            raise ValueError(f'expected 0 <= full_turn_rad < max_turn_rad <= pi, got {self}')
        if not 0.0 <= self.min_eye_span_px < self.full_eye_span_px:
            raise ValueError(f'expected 0 <= min_eye_span_px < full_eye_span_px, got {self}')


def _falling(value: float, full: float, none: float) -> float:
    """Return 1 at ``full``, 0 at ``none``, linear between, clamped outside."""
    return min(max((none - value) / (none - full), 0.0), 1.0)


class GeometryExpression:
    """
    Estimate the expression from FaceMesh landmarks, without any network.

    Holds no state: the same landmarks give the same estimate.

    :param settings: parameters; defaults where None.
    """

    def __init__(self, settings: GeometrySettings | None = None) -> None:
        self.settings = settings or GeometrySettings()
        self._prototypes = _prototype_matrix(self.settings.opposed_weight)

    def estimate(
        self, landmarks_px: npt.ArrayLike, neutral: NeutralFace = POPULATION_NEUTRAL
    ) -> EmotionEstimate:
        """
        Estimate the expression of one face.

        :param landmarks_px: (468 or more, 3) FaceMesh points [pixels]; see :func:`frontalise`.
        :param neutral: the neutral face to compare with: people in general, or this person's own.
        :returns: the estimate; unknown where the points are not finite, collapsed or not shaped
            like a face, and where the head is turned too far or too small in the image.
        :raises ValueError: when the shape of ``landmarks_px`` is another.
        """
        return self.estimate_face(frontalise(landmarks_px), neutral)

    def estimate_face(
        self, face: FrontalFace | None, neutral: NeutralFace = POPULATION_NEUTRAL
    ) -> EmotionEstimate:
        """
        Estimate the expression of one face that was turned to the front already.

        :param face: from :func:`frontalise`.
        :param neutral: as for :meth:`estimate`.
        :returns: as :meth:`estimate`.
        """
        if face is None:
            return EmotionEstimate.unknown(BACKEND)
        quality = self._quality(face)
        if quality <= 0.0:
            return EmotionEstimate.unknown(BACKEND)
        probabilities = self.probabilities(face.measures, neutral, face.pitch_rad)
        expression = int(probabilities.argmax())
        valence, arousal = probabilities @ VALENCE_AROUSAL
        s = self.settings
        cap = s.weak_max_confidence if expression in WEAK_EXPRESSIONS else s.max_confidence
        return EmotionEstimate(
            expression=expression,
            confidence=cap * quality * float(probabilities[expression]),
            probabilities=probabilities,
            valence=float(valence),
            arousal=float(arousal),
            backend=BACKEND,
        )

    def probabilities(
        self,
        measures: FaceMeasures,
        neutral: NeutralFace = POPULATION_NEUTRAL,
        pitch_rad: float = 0.0,
    ) -> npt.NDArray[np.float64]:
        """
        Weigh the expressions against each other, whatever the picture's quality.

        :param measures: from :func:`measure_face`.
        :param neutral: the neutral face to compare with.
        :param pitch_rad: pitch of the head, up positive.
        :returns: (8,) probabilities by the order of
            :data:`~aitable_ros.analysis.expression.EXPRESSIONS`, sum 1.
        """
        units = action_units(measures, neutral, pitch_rad)
        intensities = np.array([getattr(units, name) for name in _AU_NAMES])
        scores = self.settings.gain * (self._prototypes @ intensities)
        scores[NEUTRAL] = self.settings.neutral_score
        weights: npt.NDArray[np.float64] = np.exp(scores - scores.max())
        return weights / weights.sum()

    def _quality(self, face: FrontalFace) -> float:
        s = self.settings
        return (
            _falling(face.turn_rad, s.full_turn_rad, s.max_turn_rad)
            * _falling(-face.eye_span_px, -s.full_eye_span_px, -s.min_eye_span_px)
            * _falling(face.residual, 0.5 * s.max_residual, s.max_residual)
        )
