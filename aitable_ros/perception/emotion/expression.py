# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Facial expressions and the one result type that every emotion backend gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NEUTRAL = 0
HAPPY = 1
SAD = 2
SURPRISE = 3
FEAR = 4
DISGUST = 5
ANGER = 6
CONTEMPT = 7
UNCERTAIN = 254
"""The face was seen, and what it shows is not clear enough."""
UNKNOWN = 255
"""Nothing could be read."""

EXPRESSIONS = ('neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger', 'contempt')
"""Names by index: the order of EmoNet (Toisoul et al. 2021) and of ``aitable_msgs/Emotion``."""

_OTHERS = {UNCERTAIN: 'uncertain', UNKNOWN: 'unknown'}


def expression_name(expression: int) -> str:
    """
    Return the name of an expression.

    :param expression: an index into :data:`EXPRESSIONS`, :data:`UNCERTAIN` or :data:`UNKNOWN`.
    :raises ValueError: for any other number.
    """
    if expression in _OTHERS:
        return _OTHERS[expression]
    if not 0 <= expression < len(EXPRESSIONS):
        raise ValueError(
            f'expression must be 0..{len(EXPRESSIONS) - 1}, 254 or 255, got {expression}'
        )
    return EXPRESSIONS[expression]


def shown_name(expression: int) -> str:
    """
    Return the name of an expression for people: with a question mark where it is mostly wrong.

    That is contempt: F1 of 0.1 to 0.3 (docs/emotion.md).

    :raises ValueError: as :func:`expression_name`.
    """
    return expression_name(expression) + ('?' if expression == CONTEMPT else '')


@dataclass(frozen=True, eq=False)
class EmotionEstimate:
    """
    The expression of one face in one image. NaN means 'not measured', never 0.

    :param expression: index of the most probable expression; :data:`UNCERTAIN` where its
        probability does not suffice, :data:`UNKNOWN` where nothing was read.
    :param confidence: how far to trust the most probable expression, 0..1, or NaN.
    :param probabilities: (8,) by the order of :data:`EXPRESSIONS`, float64, sum 1 over the
        classes that the model has; NaN for a class that it lacks; all NaN where unknown.
        A read-only copy is kept.
    :param valence: unpleasant -1 .. 1 pleasant, or NaN.
    :param arousal: calm -1 .. 1 excited, or NaN.
    :param backend: what computed it, e.g. ``'onnxruntime'`` or ``'geometry'``.
    :param model: file and short sha256 of the network; empty where none was used.
    :param reading: which reading it is: ``'emonet'``, ``'expression'``, ``'geometry'`` ...
    :raises ValueError: when a number is out of its range or the shape is another.
    """

    expression: int
    confidence: float
    probabilities: npt.NDArray[np.float64]
    valence: float
    arousal: float
    backend: str
    model: str = ''
    reading: str = ''

    def __post_init__(self) -> None:
        expression_name(self.expression)
        probabilities = np.array(self.probabilities, dtype=np.float64)
        if probabilities.shape != (len(EXPRESSIONS),):
            raise ValueError(f'probabilities must have shape (8,), got {probabilities.shape}')
        known = [one for one in probabilities.tolist() if not math.isnan(one)]
        if known and not (
            min(known) >= 0.0 and max(known) <= 1.0 and abs(sum(known) - 1.0) <= 1e-3
        ):
            raise ValueError(f'probabilities must lie in 0..1 and sum to 1, got {probabilities}')
        if self.expression not in _OTHERS and math.isnan(probabilities[self.expression]):
            raise ValueError(f'expression {self.label} has no probability')
        for name, low in (('confidence', 0.0), ('valence', -1.0), ('arousal', -1.0)):
            value = getattr(self, name)
            if not math.isnan(value) and not low <= value <= 1.0:
                raise ValueError(f'{name} must lie in {low:g}..1, got {value}')
        probabilities.setflags(write=False)
        object.__setattr__(self, 'probabilities', probabilities)

    @property
    def label(self) -> str:
        """Name of the expression: ``'neutral'``, ..., ``'uncertain'``, ``'unknown'``."""
        return expression_name(self.expression)

    @property
    def most_probable(self) -> int:
        """Index of the most probable expression, certain or not; :data:`UNKNOWN`: nothing is."""
        if np.isnan(self.probabilities).all():
            return UNKNOWN
        return int(np.nanargmax(self.probabilities))

    @classmethod
    def unknown(cls, backend: str, model: str = '', reading: str = '') -> EmotionEstimate:
        """Return the estimate that says that nothing could be measured."""
        nan = float('nan')
        probabilities = np.full(len(EXPRESSIONS), nan)
        return cls(UNKNOWN, nan, probabilities, nan, nan, backend, model, reading)
