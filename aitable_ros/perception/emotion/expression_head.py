# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The expression of a face from what the network ``fer`` says and how the face is shaped.

One linear layer (multinomial logistic regression) on the network's seven log-probabilities, the
fifteen measures of :mod:`~aitable_ros.perception.emotion.face_measures` and the head's yaw and
pitch. It starts from the network's own word and learned what to correct of it; its numbers are in
``expression_head.json``, written by ``scripts/studies/train_expression.py``, which says how true
they are. docs/emotion.md has its tables.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.emotion.expression import EXPRESSIONS, NEUTRAL
from aitable_ros.perception.emotion.face_measures import FaceMeasures, FrontalFace
from aitable_ros.perception.emotion.fer import CLASSES

NUMBERS = Path(__file__).with_suffix('.json')

NEUTRAL_BONUS = 1.0
"""
Log-odds for neutral over what balanced training gives, by default.

Expressions were trained as if each were as frequent; at a table most faces are neutral.
docs/emotion.md has what other values do.
"""

OWN_SHARE = 0.5
"""So much of how a person differs at rest from people in general is taken off their measures."""

_ASYMMETRY = FaceMeasures._fields.index('corner_asymmetry')

FEATURES = (
    *(f'fer_{EXPRESSIONS[index]}' for index in CLASSES),
    *FaceMeasures._fields,
    'yaw',
    'pitch',
)
"""What the layer is given, in order; asymmetry and yaw without their sign."""


class Head(NamedTuple):
    """
    The layer.

    :ivar weights: (features, 8) float64.
    :ivar bias: (8,) float64.
    :ivar rest: (15,) float64: the measures of people in general at rest.
    :ivar temperature: what its logits are divided by, so that a probability of 0.8 is right
        eight times in ten (Guo et al. 2017, 'On calibration of modern neural networks').
    """

    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]
    temperature: float

    def probabilities(
        self, features: npt.NDArray[np.float64], neutral_bonus: float = NEUTRAL_BONUS
    ) -> npt.NDArray[np.float64]:
        """
        Weigh the expressions against each other.

        :param features: (..., features) of :func:`features`.
        :param neutral_bonus: added to the logit of neutral.
        :returns: (..., 8) by the order of
            :data:`~aitable_ros.perception.emotion.expression.EXPRESSIONS`, sum 1.
        """
        logits = features @ self.weights + self.bias
        logits[..., NEUTRAL] += neutral_bonus
        logits = (logits - logits.max(axis=-1, keepdims=True)) / self.temperature
        weights: npt.NDArray[np.float64] = np.exp(logits)
        return weights / weights.sum(axis=-1, keepdims=True)


@cache
def shipped_head() -> Head:
    """Return the layer that comes with the package."""
    numbers = json.loads(NUMBERS.read_text(encoding='utf-8'))
    if tuple(numbers['features']) != FEATURES or tuple(numbers['expressions']) != EXPRESSIONS:
        raise ValueError(f'{NUMBERS} is of another version of this file')
    weights, bias, rest = (np.array(numbers[key]) for key in ('weights', 'bias', 'rest'))
    return Head(weights, bias, rest, numbers['temperature'])


def features(
    logs: npt.NDArray[np.float64],
    face: FrontalFace,
    offset: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """
    Put together what the layer is given.

    :param logs: (7,) of :meth:`~aitable_ros.perception.emotion.fer.Fer.run`.
    :param face: the face's shape.
    :param offset: (15,) what this person's measures at rest exceed those of people in general by,
        as far as it is known; None: nothing is.
    :returns: (24,) by the order of :data:`FEATURES`.
    """
    measures = np.array(face.measures)
    if offset is not None:
        measures -= OWN_SHARE * offset
    measures[_ASYMMETRY] = abs(measures[_ASYMMETRY])
    return np.array([*logs, *measures, abs(face.yaw_rad), face.pitch_rad])
