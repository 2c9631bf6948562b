# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The reading ``expression``: the network fer and the face's shape, weighed by a trained layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine
from aitable_ros.perception.emotion.expression import NEUTRAL, EmotionEstimate
from aitable_ros.perception.emotion.expression_geometry import VALENCE_AROUSAL, image_quality
from aitable_ros.perception.emotion.expression_head import NEUTRAL_BONUS, features, shipped_head
from aitable_ros.perception.emotion.face_measures import frontalise
from aitable_ros.perception.emotion.fer import Fer
from aitable_ros.perception.emotion.neutral_face import NeutralFaceLearner
from aitable_ros.perception.emotion.readings import EXPRESSION
from aitable_ros.perception.faces.pipeline import TrackedFace


class LearnedExpression:
    """
    Estimate the expressions of faces, all faces of an image in one batch.

    :param engine: the network fer; stays the caller's.
    :param neutral_bonus: log-odds for neutral, as in
        :data:`~aitable_ros.perception.emotion.expression_head.NEUTRAL_BONUS`.
    :raises InferenceError: when the engine is of another network, or its file cannot be read.
    """

    def __init__(self, engine: Engine, *, neutral_bonus: float = NEUTRAL_BONUS) -> None:
        self.engine = engine
        self.neutral_bonus = neutral_bonus
        self._fer = Fer(engine)
        self._head = shipped_head()

    @property
    def model(self) -> str:
        """File and short sha256 of the network."""
        return self._fer.model

    def run(
        self,
        image: npt.NDArray[np.uint8],
        faces: Sequence[TrackedFace],
        learners: Sequence[NeutralFaceLearner],
        stamp_s: float,
    ) -> list[EmotionEstimate]:
        """
        Estimate the expression of each face.

        Valence and arousal are the means of the expressions' places on Russell's circumplex
        (:data:`~aitable_ros.perception.emotion.expression_geometry.VALENCE_AROUSAL`), weighed by
        their probabilities.

        :param image: (H, W, 3) uint8 RGB.
        :param faces: where the faces are.
        :param learners: of each face, what is known of the person at rest; told of this image.
        :param stamp_s: header time [s].
        :returns: one estimate per face, in their order; unknown where a face has no landmarks, is
            turned too far or too small, or the network's outputs are not finite.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        return [
            self._estimate(face, logs, learner, stamp_s)
            for face, logs, learner in zip(faces, self._fer.run(image, faces), learners)
        ]

    def _estimate(
        self,
        face: TrackedFace,
        logs: npt.NDArray[np.float64],
        learner: NeutralFaceLearner,
        stamp_s: float,
    ) -> EmotionEstimate:
        shape = None if face.landmarks_px is None else frontalise(face.landmarks_px)
        quality = 0.0 if shape is None or np.isnan(logs).any() else image_quality(shape)
        if shape is None or quality <= 0.0 or not face.views.expression_is_seen:
            learner.update_face(stamp_s, None)
            return EmotionEstimate.unknown(self.engine.backend, self.model, EXPRESSION)
        offset = learner.offset_from(self._head.rest)
        probabilities = self._head.probabilities(features(logs, shape, offset), self.neutral_bonus)
        learner.update_face(stamp_s, shape, float(probabilities[NEUTRAL]))
        expression = int(probabilities.argmax())
        valence, arousal = probabilities @ VALENCE_AROUSAL
        return EmotionEstimate(
            expression=expression,
            confidence=quality * float(probabilities[expression]),
            probabilities=probabilities,
            valence=float(valence),
            arousal=float(arousal),
            backend=self.engine.backend,
            model=self.model,
            reading=EXPRESSION,
        )
