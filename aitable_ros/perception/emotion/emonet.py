# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Expression, valence and arousal of faces with EmoNet: the crop, the batch, the result.

EmoNet: Toisoul et al., Nature Machine Intelligence 3 (2021). Its published figures were measured
on upright square crops around the tight box of 68 landmarks, from which this module's crop is
derived; see :func:`landmarks_box` and :func:`detection_box`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.emotion.expression import (
    ANGER,
    EXPRESSIONS,
    HAPPY,
    NEUTRAL,
    SAD,
    SURPRISE,
    EmotionEstimate,
)
from aitable_ros.perception.faces.landmarks import (
    LEFT_BROW_UPPER,
    LEFT_EYE_RING,
    LIPS_OUTER_RING,
    NOSE_BRIDGE,
    NOSE_WINGS_RING,
    RIGHT_BROW_UPPER,
    RIGHT_EYE_RING,
    check_landmarks,
)
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.regions import infer_regions
from aitable_ros.perception.images.roi import RotatedRoi, in_rows
from aitable_ros.perception.maths.settings import Settings, setting

INPUT_SIZE_PX = 256
"""Side of EmoNet's input."""

CROP_SCALE = round(400.0 / 220.0, 3)
"""Side of the crop over the mean side of the landmark box: 1.82, as for the published figures."""

DETECTION_SCALE = 0.95
"""Mean side of the 68 landmarks' box over that of BlazeFace's; docs/emotion.md: how measured."""

DETECTION_SHIFT = 0.03
"""How far below BlazeFace's centre that of the landmarks' box lies, over BlazeFace's side."""

EIGHT_CLASSES = tuple(range(len(EXPRESSIONS)))
"""The outputs of the 8-class network, as expressions: the order is the same."""

FIVE_CLASSES = (NEUTRAL, HAPPY, SAD, SURPRISE, ANGER)
"""
The outputs of the 5-class network, as expressions.

The documentation of the published weights calls the fifth class fear, but their data loader
selects AffectNet's classes 0, 1, 2, 3 and 6 and numbers 6, anger, as 4. What a network was shown
decides what it has learned.
"""

JAW_LINE = (
    *(127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148),
    *(152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356),
)
"""
The part of FaceMesh's face oval along which the 68-point scheme has its jaw line.

That line begins and ends beside the eyes, where the ears attach; the rest of the oval, over the
forehead, has no counterpart there.
"""

EXTENT_OF_68_LANDMARKS = (
    JAW_LINE
    + RIGHT_BROW_UPPER
    + LEFT_BROW_UPPER
    + NOSE_BRIDGE
    + NOSE_WINGS_RING
    + RIGHT_EYE_RING
    + LEFT_EYE_RING
    + LIPS_OUTER_RING
)
"""FaceMesh landmarks that reach as far as the 68: jaw, brows, and in profile nose and lips."""

_EXTENT = np.array(sorted(set(EXTENT_OF_68_LANDMARKS)), dtype=np.intp)

_MAX_BATCH = 8
"""Faces that are run at once, or what the engine takes; more are run in several batches."""


@dataclass(frozen=True)
class CropSettings(Settings):
    """
    What EmoNet gets to see of a face.

    :param scale: side of the crop over the mean side of the 68 landmarks' tight box.
    :param detection_scale: mean side of that box over the mean side of the detector's, where
        there are no landmarks.
    :param detection_shift: how far below the detector's centre that of the landmarks' box lies,
        over the detector's mean side.
    :raises ValueError: for a value out of range.
    """

    scale: float = setting(CROP_SCALE, 0.1, 10.0)
    detection_scale: float = setting(DETECTION_SCALE, 0.1, 10.0)
    detection_shift: float = setting(DETECTION_SHIFT, -1.0, 1.0)


DEFAULT_CROP = CropSettings()
"""The crop of the published figures."""


def landmarks_box(landmarks_px: npt.NDArray) -> tuple[float, float, float]:
    """
    Estimate the tight box of the 68 landmarks from FaceMesh's 468.

    All 468 reach up to the hairline and make the crop 6 to 9 % too large and put it a tenth of
    its size too high; of :data:`EXTENT_OF_68_LANDMARKS` the box agrees within a few percent
    (docs/emotion.md).

    :param landmarks_px: (468 or more, 2 or 3), x and y first.
    :returns: x and y of the box's centre, mean of its width and height [px].
    :raises ValueError: for another shape.
    """
    check_landmarks(landmarks_px)
    points = landmarks_px[_EXTENT, :2].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    cx, cy = (low + high) / 2.0
    return float(cx), float(cy), float((high - low).mean())


def detection_box(
    xywh_px: npt.NDArray, settings: CropSettings = DEFAULT_CROP
) -> tuple[float, float, float]:
    """
    Estimate the tight box of the 68 landmarks from BlazeFace's box.

    :param xywh_px: (4,) left, top, width, height.
    :param settings: ratio and shift.
    :returns: as :func:`landmarks_box`.
    """
    x, y, width, height = (float(value) for value in xywh_px)
    side = 0.5 * (width + height)
    cy = y + 0.5 * height + settings.detection_shift * side
    return x + 0.5 * width, cy, settings.detection_scale * side


def face_region(
    image: npt.NDArray[np.uint8],
    face: TrackedFace,
    settings: CropSettings = DEFAULT_CROP,
    *,
    size_px: int = INPUT_SIZE_PX,
) -> RotatedRoi | None:
    """
    Return where :func:`crop_face` cuts; None as there.

    :param image: (H, W, 3).
    :param face: where the face is.
    :param settings: size of the square.
    :param size_px: side of the crop [pixels].
    """
    if face.landmarks_px is not None:
        cx, cy, side = landmarks_box(face.landmarks_px)
    else:
        cx, cy, side = detection_box(face.xywh_px, settings)
    size = settings.scale * side
    if not (math.isfinite(cx + cy + size) and size > 0.0):
        return None
    height, width = image.shape[:2]
    half = 0.5 * size
    if not (-half < cx < width + half and -half < cy < height + half):
        return None
    # RotatedRoi counts from the centre of the crop's first pixel, cv2.resize from its corner.
    shift = 0.5 * size / size_px
    return RotatedRoi(cx + shift, cy + shift, size)


def crop_face(
    image: npt.NDArray[np.uint8],
    face: TrackedFace,
    settings: CropSettings = DEFAULT_CROP,
    *,
    size_px: int = INPUT_SIZE_PX,
    out: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8] | None:
    """
    Cut out what EmoNet gets to see of a face: an upright square, black outside of the image.

    The head's roll is kept, as in the published figures' crops. Sampling is bilinear with the
    pixel centres of ``cv2.resize``.

    :param image: (H, W, 3) uint8 RGB.
    :param face: where the face is.
    :param settings: size of the square.
    :param size_px: side of the crop [pixels].
    :param out: where to write the crop, (size_px, size_px, 3) uint8, C-contiguous.
    :returns: (size_px, size_px, 3) uint8; None where the face has no size, its place is not
        finite, or its square does not touch the image.
    """
    roi = face_region(image, face, settings, size_px=size_px)
    if roi is None:
        return None
    return roi.crop(image, size_px, border=cv2.BORDER_CONSTANT, out=out)[0]


def softmax(logits: npt.NDArray) -> npt.NDArray[np.float64]:
    """
    Turn logits into probabilities.

    :param logits: (N,) finite.
    :returns: (N,) float64, sum 1.
    """
    weights = np.exp(logits.astype(np.float64) - float(logits.max()))
    return weights / weights.sum()


def interpret(
    logits: npt.NDArray,
    valence: float,
    arousal: float,
    *,
    backend: str,
    model: str = '',
    reading: str = 'emonet',
    classes: Sequence[int] | None = None,
) -> EmotionEstimate:
    """
    Make an estimate of one face's outputs.

    :param logits: (C,), one for each class.
    :param valence: as the network gives it; clamped to -1..1.
    :param arousal: as the network gives it; clamped to -1..1.
    :param backend: what ran the network.
    :param model: which file it was.
    :param reading: which network it was.
    :param classes: the outputs as expressions; None: those of EmoNet with 8 or 5.
    :returns: probabilities by softmax, the most probable expression, its probability as the
        confidence; unknown where any output is NaN or infinite.
    :raises ValueError: for another number of classes.
    """
    classes = classes or _classes(len(logits))
    if not (np.isfinite(logits).all() and math.isfinite(valence) and math.isfinite(arousal)):
        return EmotionEstimate.unknown(backend, model, reading)
    probabilities = np.full(len(EXPRESSIONS), np.nan)
    probabilities[list(classes)] = softmax(logits)
    expression = classes[int(np.argmax(logits))]
    return EmotionEstimate(
        expression=expression,
        confidence=min(1.0, float(probabilities[expression])),
        probabilities=probabilities,
        valence=min(max(float(valence), -1.0), 1.0),
        arousal=min(max(float(arousal), -1.0), 1.0),
        backend=backend,
        model=model,
        reading=reading,
    )


def _classes(count: int) -> tuple[int, ...]:
    for classes in (EIGHT_CLASSES, FIVE_CLASSES):
        if len(classes) == count:
            return classes
    raise ValueError(f'expected 8 or 5 classes, got {count}')


def describe_model(path: Path) -> str:
    """
    Name a model file so that its contents can be told apart: ``emonet.onnx sha256:1f0c...``.

    :param path: the file; read as a whole.
    :raises OSError: when it cannot be read.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f'{path.name} sha256:{digest[:12]}'


class EmoNet:
    """
    Estimate the expressions of faces, all faces of an image in one batch.

    :param engine: the network: ``image`` uint8 (N, 256, 256, 3) RGB in; ``expression`` float32
        (N, 8 or 5) logits, ``valence`` and ``arousal`` float32 (N, 1) out. Stays the caller's: it
        is not closed here.
    :param settings: the crop.
    :raises InferenceError: when the engine is of another network, or its file cannot be read.
    """

    size_px = INPUT_SIZE_PX
    """Side of the network's input."""

    def __init__(self, engine: Engine, *, settings: CropSettings = DEFAULT_CROP) -> None:
        shapes = {output.name: output.shape for output in engine.outputs}
        try:
            self.expressions = self._classes_of(shapes['expression'][1])
        except (KeyError, IndexError, ValueError) as error:
            raise InferenceError(
                f"{engine}: expected logits of 8 expressions, or EmoNet's 5, it has"
                f' {", ".join(map(str, engine.outputs))}'
            ) from error
        try:
            self.model = describe_model(engine.path)
        except OSError as error:
            raise InferenceError(f'{engine}: {engine.path} cannot be read: {error}') from error
        self.engine = engine
        self.settings = settings
        self._own_scale = settings.scale
        self._max_batch = min(_MAX_BATCH, getattr(engine, 'max_batch', _MAX_BATCH))

    def scale_crop(self, scale: float) -> None:
        """Change how much of a face the network sees; 0: what it was made for."""
        self.settings = replace(self.settings, scale=scale or self._own_scale)

    def run(
        self, image: npt.NDArray[np.uint8], faces: Sequence[TrackedFace]
    ) -> list[EmotionEstimate]:
        """
        Estimate the expression of each face.

        :param image: (H, W, 3) uint8 RGB.
        :param faces: where the faces are.
        :returns: one estimate per face, in their order; unknown where the face lies outside of
            the image, and where the network's outputs are not finite.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        check_image(image)
        image = in_rows(image)
        unknown = EmotionEstimate.unknown(self.engine.backend, self.model, self.engine.name)
        estimates = [unknown] * len(faces)
        size = self.size_px
        regions = {
            index: roi
            for index, face in enumerate(faces)
            if (roi := face_region(image, face, self.settings, size_px=size)) is not None
        }
        seen = list(regions)
        for begin in range(0, len(seen), self._max_batch):
            indices = seen[begin : begin + self._max_batch]
            rois = [regions[index] for index in indices]
            outputs, _ = infer_regions(self.engine, image, rois, size, border=cv2.BORDER_CONSTANT)
            for index, estimate in zip(indices, self._estimates(outputs, len(indices))):
                estimates[index] = estimate
        return estimates

    def _estimates(self, outputs: Mapping[str, npt.NDArray], count: int) -> list[EmotionEstimate]:
        expected = {
            'expression': (count, len(self.expressions)),
            'valence': (count, 1),
            'arousal': (count, 1),
        }
        found = {name: outputs[name].shape for name in expected if name in outputs}
        if found != expected:
            raise InferenceError(f'{self.engine}: expected outputs {expected}, got {found}')
        return [
            interpret(
                outputs['expression'][i],
                float(outputs['valence'][i, 0]),
                float(outputs['arousal'][i, 0]),
                backend=self.engine.backend,
                model=self.model,
                reading=self.engine.name,
                classes=self.expressions,
            )
            for i in range(count)
        ]

    def _classes_of(self, count: int) -> tuple[int, ...]:
        return _classes(count)
