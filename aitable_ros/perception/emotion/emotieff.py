# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Expression, valence and arousal of faces with EmotiEffLib's networks: their labels and their crop.

Savchenko 2022, 'Classifying emotions and engagement in online learning based on a single facial
expression recognition neural network', IEEE Transactions on Affective Computing 13(4); Savchenko
2023, 'Facial expression recognition with adaptive frame rate based on multiple testing
correction', ICML.
"""

from __future__ import annotations

from typing import Final

from aitable_ros.inference.engine import Engine
from aitable_ros.perception.emotion.emonet import CropSettings, EmoNet
from aitable_ros.perception.emotion.expression import (
    ANGER,
    CONTEMPT,
    DISGUST,
    FEAR,
    HAPPY,
    NEUTRAL,
    SAD,
    SURPRISE,
)

CLASSES: Final = (ANGER, CONTEMPT, DISGUST, FEAR, HAPPY, NEUTRAL, SAD, SURPRISE)
"""The outputs, as expressions: alphabetical in English, not in EmoNet's order."""

CROP = CropSettings(scale=1.15)
"""
A face detector's box, which is what the networks were trained and are used on.

That is about 1.15 times the tight box of 68 landmarks: from the middle of the forehead down to the
chin. By the description alone; the weights were not at hand to measure it.
"""


class EmotiEff(EmoNet):
    """
    Estimate the expressions of faces, all faces of an image in one batch.

    :param engine: ``image`` uint8 (N, S, S, 3) RGB in; ``expression`` float32 (N, 8) logits,
        ``valence`` and ``arousal`` float32 (N, 1) out. Stays the caller's.
    :param settings: the crop.
    :raises InferenceError: when the engine is of another network, or its file cannot be read.
    """

    def __init__(self, engine: Engine, *, settings: CropSettings = CROP) -> None:
        super().__init__(engine, settings=settings)
        self.size_px = engine.inputs[0].shape[1]

    def _classes_of(self, count: int) -> tuple[int, ...]:
        if count != len(CLASSES):
            raise ValueError(f'expected {len(CLASSES)} classes, got {count}')
        return CLASSES
