# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What every file of EmoNet takes and gives, and under which licence its weights stand."""

from __future__ import annotations

import numpy as np

from aitable_ros.inference.model_spec import DYNAMIC, ModelSpec, TensorSpec

INPUT_SIZE_PX = 256
"""Side of EmoNet's input."""

CLASS_COUNTS = (8, 5)
"""Numbers of expressions for which weights were published."""

REPOSITORY = 'https://github.com/face-analysis/emonet'
URL = 'https://raw.githubusercontent.com/face-analysis/emonet/master/pretrained/{file}'
"""Where the authors publish the weights; no checksum of them was published."""

LICENCE = 'CC BY-NC-ND 4.0'
"""Licence of the published weights."""

LICENCE_URL = 'https://creativecommons.org/licenses/by-nc-nd/4.0/'

ATTRIBUTION = (
    'EmoNet: A. Toisoul, J. Kossaifi, A. Bulat, G. Tzimiropoulos, M. Pantic: Estimation of'
    ' continuous valence and arousal levels from faces in naturalistic conditions, Nature Machine'
    ' Intelligence 3 (2021)'
)

LICENCE_NOTE = (
    'The weights of EmoNet are licensed CC BY-NC-ND 4.0: not for commercial purposes, and adapted'
    ' material must not be shared. This file contains them in another format. It was made on this'
    ' machine for use on it; do not pass it on.'
)


def emonet_spec(classes: int, *, name: str = 'emonet') -> ModelSpec:
    """
    Return the contract of EmoNet, without a backend chain.

    ``image`` uint8 (N, 256, 256, 3) RGB in, of which ``pixel / 255`` goes into the network;
    ``expression`` float32 (N, classes) logits, ``valence`` and ``arousal`` float32 (N, 1),
    not clamped, out.

    :param classes: 8 or 5.
    :param name: the model's name, and of its files.
    :raises ValueError: for another number of classes.
    """
    if classes not in CLASS_COUNTS:
        raise ValueError(f'expected 8 or 5 classes, got {classes}')
    floats = np.dtype(np.float32)
    return ModelSpec(
        name=name,
        inputs=(
            TensorSpec('image', (DYNAMIC, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), np.dtype(np.uint8)),
        ),
        outputs=(
            TensorSpec('expression', (DYNAMIC, classes), floats),
            TensorSpec('valence', (DYNAMIC, 1), floats),
            TensorSpec('arousal', (DYNAMIC, 1), floats),
        ),
        scale=1.0 / 255.0,
        required=False,
    )
