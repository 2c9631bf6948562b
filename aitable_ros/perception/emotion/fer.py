# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What the network of the package ``fer`` makes of a face: how likely each of 7 expressions is.

The network (Arriaga, Valdenegro-Toro & Ploeger 2017, 'Real-time convolutional neural networks for
emotion and gender classification', arXiv:1710.07557) was trained on FER2013: 48 x 48 grey
pictures that show a face and little else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.emotion.emonet import describe_model
from aitable_ros.perception.emotion.expression import (
    ANGER,
    DISGUST,
    FEAR,
    HAPPY,
    NEUTRAL,
    SAD,
    SURPRISE,
)
from aitable_ros.perception.faces.landmarks import LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER
from aitable_ros.perception.faces.mesh import landmark_box
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.roi import RotatedRoi, in_rows

INPUT_SIZE_PX = 64
"""Side of the network's input."""

CLASSES = (ANGER, DISGUST, FEAR, HAPPY, SAD, SURPRISE, NEUTRAL)
"""The network's outputs, as expressions; it knows no contempt."""

CROP_SCALE = 1.05
"""Side of the crop over the longer side of the landmarks' box: 1.3 and more costs 0.05 of F1."""

MIN_LOG = math.log(1e-4)
"""The network is often far too sure; smaller probabilities say nothing more."""

_LEAST = math.exp(MIN_LOG)

_MAX_BATCH = 8
"""Crops that are run at once; more are run in several batches."""


def crop_face(
    image: npt.NDArray[np.uint8],
    landmarks_px: npt.NDArray,
    *,
    scale: float = CROP_SCALE,
) -> npt.NDArray[np.uint8] | None:
    """
    Cut out what the network gets to see of a face: a square, turned so that the eyes are level.

    :param image: (H, W, 3) uint8 RGB.
    :param landmarks_px: (468 or more, 2 or 3), x and y first.
    :param scale: side of the square over the longer side of the landmarks' tight box.
    :returns: (64, 64, 1) uint8, grey; None where the landmarks are not finite, have no extent, or
        lie outside of the image.
    """
    x, y, width, height = landmark_box(landmarks_px).tolist()
    across = landmarks_px[LEFT_EYE_OUTER_CORNER] - landmarks_px[RIGHT_EYE_OUTER_CORNER]
    angle = math.atan2(float(across[1]), float(across[0]))
    size = scale * max(width, height)
    if not (math.isfinite(x + y + width + height + angle) and size > 0.0):
        return None
    rows, columns = image.shape[:2]
    if x >= columns or y >= rows or x + width <= 0.0 or y + height <= 0.0:
        return None
    roi = RotatedRoi(x + 0.5 * width, y + 0.5 * height, size, angle)
    crop, _ = roi.crop(image, INPUT_SIZE_PX)
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)[:, :, None]


class Fer:
    """
    Run the network on faces, all faces of an image in one batch.

    :param engine: ``image`` uint8 (N, 64, 64, 1) in, ``probabilities`` float32 (N, 7) out. Stays
        the caller's: it is not closed here.
    :raises InferenceError: when the engine is of another network, or its file cannot be read.
    """

    def __init__(self, engine: Engine) -> None:
        found = {output.name: output.shape[1:] for output in engine.outputs}
        if found.get('probabilities') != (len(CLASSES),):
            raise InferenceError(
                f'{engine}: expected an output probabilities[N,{len(CLASSES)}], it has'
                f' {", ".join(map(str, engine.outputs))}'
            )
        try:
            self.model = describe_model(engine.path)
        except OSError as error:
            raise InferenceError(f'{engine}: {engine.path} cannot be read: {error}') from error
        self.engine = engine
        self._max_batch = min(_MAX_BATCH, getattr(engine, 'max_batch', _MAX_BATCH))

    def run(
        self, image: npt.NDArray[np.uint8], faces: Sequence[TrackedFace]
    ) -> npt.NDArray[np.float64]:
        """
        Tell how likely each expression is, for each face.

        The network sees each face and its mirror image, and the logarithms of what it says are
        averaged: left and right must not matter, and two looks are worth 0.01 to 0.03 of F1.

        :param image: (H, W, 3) uint8 RGB.
        :param faces: where the faces are.
        :returns: (faces, 7) logarithms of probabilities, at least :data:`MIN_LOG`, by the order of
            :data:`CLASSES`; NaN where a face has no landmarks, lies outside of the image, or the
            network's outputs are not finite.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        check_image(image)
        image = in_rows(image)
        result = np.empty((len(faces), len(CLASSES)))
        result.fill(math.nan)
        crops: dict[int, npt.NDArray[np.uint8]] = {}
        for index, face in enumerate(faces):
            crop = None if face.landmarks_px is None else crop_face(image, face.landmarks_px)
            if crop is not None:
                crops[index] = crop
        if not crops:
            return result
        both = np.empty((2 * len(crops), INPUT_SIZE_PX, INPUT_SIZE_PX, 1), np.uint8)
        both[::2] = list(crops.values())
        both[1::2] = both[::2, :, ::-1]
        begins = range(0, len(both), self._max_batch)
        found = np.concatenate([self._infer(both[i : i + self._max_batch]) for i in begins])
        for index, two in zip(crops, found.reshape(-1, 2, len(CLASSES))):
            if math.isfinite(np.vdot(two, two)):  # then all are
                first, second = np.log(np.maximum(two, _LEAST, dtype=np.float64))
                result[index] = 0.5 * (first + second)
        return result

    def _infer(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        probabilities = self.engine.infer({'image': crops})['probabilities']
        expected = len(crops), len(CLASSES)
        if probabilities.shape != expected:
            raise InferenceError(
                f'{self.engine}: expected probabilities{list(expected)}, got'
                f' {list(probabilities.shape)}'
            )
        return probabilities
