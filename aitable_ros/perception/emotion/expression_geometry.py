# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A facial expression from the shape of the face alone: the stand-in where no network runs.

Four steps, each deterministic and documented where it stands:

1. :func:`~aitable_ros.perception.emotion.face_measures.frontalise`: landmarks are turned,
   scaled and shifted in 3-D so that the points which no facial muscle moves (eye corners, nose
   ridge, temples, hairline) fit a neutral face. Roll, yaw, pitch, distance and position drop out.
2. :func:`~aitable_ros.perception.emotion.face_measures.measure_face`: about a dozen distances in
   units of the eye span (between the outer eye corners): mouth corners, lips, jaw, brows, lids,
   cheeks, nostrils.
3. :func:`~aitable_ros.perception.emotion.action_units.action_units`: how far each distance lies
   outside the band of neutral faces, as intensities 0..1 of the action units (AUs) of the Facial
   Action Coding System (Ekman & Friesen 1978; Ekman, Friesen & Hager 2002).
4. :class:`GeometryExpression`: the AUs against the published prototypes of the expressions;
   a softmax gives the probabilities, and these give valence and arousal.

What it cannot do: FaceMesh's base model hardly moves the brows, so raised and lowered brows are
seen only when they are strong; people differ more at rest than a slight expression moves a face,
so without a person's own neutral face slight expressions read as neutral;
:mod:`aitable_ros.perception.emotion.neutral_face` learns it. The confidence is capped for that
reason, and lower for sadness, fear, disgust and anger (:data:`WEAK_EXPRESSIONS`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.emotion.action_units import ActionUnits, action_units
from aitable_ros.perception.emotion.expression import (
    ANGER,
    DISGUST,
    EXPRESSIONS,
    FEAR,
    NEUTRAL,
    SAD,
    EmotionEstimate,
)
from aitable_ros.perception.emotion.face_measures import (
    POPULATION_NEUTRAL,
    FaceMeasures,
    FrontalFace,
    NeutralFace,
)

BACKEND = 'geometry'

# Scores of an expression whose prototype is shown completely, and of neutral, against which a face
# must show something; what a contradicting AU costs, as a share of the first.
_GAIN = 12.0
_NEUTRAL_SCORE = 2.5
_OPPOSED_WEIGHT = 0.3

# The probability of neutral where nothing at all is shown: it cannot be more.
_NEUTRAL_AT_BEST = math.exp(_NEUTRAL_SCORE) / (math.exp(_NEUTRAL_SCORE) + len(EXPRESSIONS) - 1)

# The confidence of a perfect match on a large frontal face, and for WEAK_EXPRESSIONS.
_MAX_CONFIDENCE = 0.6
_WEAK_MAX_CONFIDENCE = 0.4

# Of 100 faces that are called neutral 42 are: what is slight is not seen.
_NEUTRAL_MAX_CONFIDENCE = 0.42

# Up to the first value nothing is lost of the confidence, from the second on all: turn of the
# head [rad], its size [pixels], and how far the mesh is from the shape of a face [eye spans].
_TURN_RAD = (0.35, 1.05)
_EYE_SPAN_PX = (48.0, 12.0)
_RESIDUAL = (0.10, 0.20)

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


def _prototype_matrix() -> npt.NDArray[np.float64]:
    column = ActionUnits._fields.index
    matrix = np.zeros((len(EXPRESSIONS), len(ActionUnits._fields)))
    for row, name in enumerate(EXPRESSIONS):
        prototype = _PROTOTYPES.get(name, {})
        total = sum(prototype.values())
        for unit, weight in prototype.items():
            matrix[row, column(unit)] = weight / total
        for unit in _OPPOSED.get(name, ()):
            matrix[row, column(unit)] = -_OPPOSED_WEIGHT
    return matrix


_PROTOTYPE_MATRIX = _prototype_matrix()


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


def image_quality(face: FrontalFace) -> float:
    """
    Tell how well a face can be read: how far it is turned, how small it is, how little like one.

    :returns: 1: well; 0: not at all.
    """
    return (
        _graded(face.turn_rad, *_TURN_RAD)
        * _graded(face.eye_span_px, *_EYE_SPAN_PX)
        * _graded(face.residual, *_RESIDUAL)
    )


def _graded(value: float, full: float, none: float) -> float:
    """Return 1 at ``full``, 0 at ``none``, linear between, clamped outside."""
    return min(max((none - value) / (none - full), 0.0), 1.0)


class GeometryExpression:
    """
    Estimate the expression from FaceMesh landmarks, without any network.

    Holds no state: the same landmarks give the same estimate.
    """

    def estimate_face(
        self, face: FrontalFace | None, neutral: NeutralFace = POPULATION_NEUTRAL
    ) -> EmotionEstimate:
        """
        Estimate the expression of one face.

        :param face: from :func:`~aitable_ros.perception.emotion.face_measures.frontalise`.
        :param neutral: the neutral face to compare with: people in general, or this person's own.
        :returns: the estimate; unknown where there is no face, it is not shaped like one, or the
            head is turned too far or too small in the image.
        """
        quality = 0.0 if face is None else image_quality(face)
        if face is None or quality <= 0.0:
            return EmotionEstimate.unknown(BACKEND, reading=BACKEND)
        probabilities = self.probabilities(face.measures, neutral, face.pitch_rad)
        expression = int(probabilities.argmax())
        valence, arousal = probabilities @ VALENCE_AROUSAL
        best, cap = 1.0, _MAX_CONFIDENCE
        if expression == NEUTRAL:
            best, cap = _NEUTRAL_AT_BEST, _NEUTRAL_MAX_CONFIDENCE
        elif expression in WEAK_EXPRESSIONS:
            cap = _WEAK_MAX_CONFIDENCE
        return EmotionEstimate(
            expression=expression,
            confidence=cap * quality * float(probabilities[expression]) / best,
            probabilities=probabilities,
            valence=float(valence),
            arousal=float(arousal),
            backend=BACKEND,
            reading=BACKEND,
        )

    def probabilities(
        self,
        measures: FaceMeasures,
        neutral: NeutralFace = POPULATION_NEUTRAL,
        pitch_rad: float = 0.0,
    ) -> npt.NDArray[np.float64]:
        """
        Weigh the expressions against each other, whatever the picture's quality.

        :param measures: from :func:`~aitable_ros.perception.emotion.face_measures.measure_face`.
        :param neutral: the neutral face to compare with.
        :param pitch_rad: pitch of the head, up positive.
        :returns: (8,) probabilities by the order of
            :data:`~aitable_ros.perception.emotion.expression.EXPRESSIONS`, sum 1.
        """
        units = action_units(measures, neutral, pitch_rad)
        scores = _GAIN * (_PROTOTYPE_MATRIX @ np.array(units))
        scores[NEUTRAL] = _NEUTRAL_SCORE
        weights: npt.NDArray[np.float64] = np.exp(scores - scores.max())
        return weights / weights.sum()
