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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
    LANDMARKS,
    LEFT_BROW_UPPER,
    LEFT_EYE_RING,
    LIPS_OUTER_RING,
    NOSE_BRIDGE,
    NOSE_WINGS_RING,
    RIGHT_BROW_UPPER,
    RIGHT_EYE_RING,
)
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.roi import RotatedRoi

INPUT_SIZE_PX = 256
"""Side of EmoNet's input."""

CROP_SCALE = round(400.0 / 220.0, 3)
"""Side of the crop over the mean side of the landmark box: 1.82, as for the published figures."""

DETECTION_SCALE = 0.95
"""Mean side of the 68 landmarks' box over that of BlazeFace's; docs/emonet.md: how measured."""

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
_SHORT_DIGEST = 12


class FaceRegion(Protocol):
    """
    What has to be known of a face, as of a :class:`~.face_pipeline.TrackedFace`.

    ``xywh_px`` is (4,): left, top, width, height of the detector's box, and is used only
    where ``landmarks_px`` is None; those are (468, 2 or 3) FaceMesh points, x and y first.
    """

    @property
    def xywh_px(self) -> npt.NDArray[np.float32]:
        """Box of the face."""

    @property
    def landmarks_px(self) -> npt.NDArray[np.float32] | None:
        """Landmarks of the face."""


@dataclass(frozen=True)
class CropSettings:
    """
    What EmoNet gets to see of a face.

    :param scale: side of the crop over the mean side of the 68 landmarks' tight box.
    :param detection_scale: mean side of that box over the mean side of the detector's, where
        there are no landmarks.
    :param detection_shift: how far below the detector's centre that of the landmarks' box lies,
        over the detector's mean side.
    :raises ValueError: when a scale is not positive, or a number not finite.
    """

    scale: float = CROP_SCALE
    detection_scale: float = DETECTION_SCALE
    detection_shift: float = DETECTION_SHIFT

    def __post_init__(self) -> None:
        for name in ('scale', 'detection_scale'):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f'{name}: expected a positive number, got {value}')
        if not math.isfinite(self.detection_shift):
            raise ValueError(f'detection_shift: expected a number, got {self.detection_shift}')


DEFAULT_CROP = CropSettings()
"""The crop of the published figures."""


@dataclass(frozen=True)
class FaceSquare:
    """
    Where a face is and how large, as the 68 landmarks' tight box would tell.

    :param cx: x of the box's centre [px].
    :param cy: y of the box's centre [px].
    :param side: mean of the box's width and height [px].
    """

    cx: float
    cy: float
    side: float


def landmarks_box(landmarks_px: npt.NDArray) -> FaceSquare:
    """
    Estimate the tight box of the 68 landmarks from FaceMesh's 468.

    All 468 reach up to the hairline and make the crop 6 to 9 % too large and put it a tenth of
    its size too high; of :data:`EXTENT_OF_68_LANDMARKS` the box agrees within a few percent
    (docs/emonet.md).

    :param landmarks_px: (468, 2 or 3), x and y first.
    :raises ValueError: for another shape.
    """
    if landmarks_px.ndim != 2 or landmarks_px.shape[0] != LANDMARKS or landmarks_px.shape[1] < 2:
        raise ValueError(f'landmarks_px: expected [468,2..3], got {list(landmarks_px.shape)}')
    points = landmarks_px[_EXTENT, :2].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    cx, cy = (low + high) / 2.0
    return FaceSquare(float(cx), float(cy), float((high - low).mean()))


def detection_box(xywh_px: npt.NDArray, settings: CropSettings = DEFAULT_CROP) -> FaceSquare:
    """
    Estimate the tight box of the 68 landmarks from BlazeFace's box.

    :param xywh_px: (4,) left, top, width, height.
    :param settings: ratio and shift.
    :raises ValueError: for another shape.
    """
    if np.shape(xywh_px) != (4,):
        raise ValueError(f'xywh_px: expected [4], got {list(np.shape(xywh_px))}')
    x, y, width, height = (float(value) for value in xywh_px)
    side = 0.5 * (width + height)
    cy = y + 0.5 * height + settings.detection_shift * side
    return FaceSquare(x + 0.5 * width, cy, settings.detection_scale * side)


def crop_face(
    image: npt.NDArray[np.uint8],
    face: FaceRegion,
    settings: CropSettings = DEFAULT_CROP,
    *,
    out: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8] | None:
    """
    Cut out what EmoNet gets to see of a face: an upright square, black outside of the image.

    The head's roll is kept, as in the published figures' crops. Sampling is bilinear with the
    pixel centres of ``cv2.resize``.

    :param image: (H, W, 3) uint8 RGB.
    :param face: where the face is.
    :param settings: size of the square.
    :param out: where to write the crop, (256, 256, 3) uint8, C-contiguous.
    :returns: (256, 256, 3) uint8; None where the face has no size, its place is not finite, or
        its square does not touch the image.
    """
    if face.landmarks_px is not None:
        box = landmarks_box(face.landmarks_px)
    else:
        box = detection_box(face.xywh_px, settings)
    size = settings.scale * box.side
    if not (math.isfinite(box.cx + box.cy + size) and size > 0.0):
        return None
    height, width = image.shape[:2]
    half = 0.5 * size
    if not (-half < box.cx < width + half and -half < box.cy < height + half):
        return None
    # RotatedRoi counts from the centre of the crop's first pixel, cv2.resize from its corner.
    shift = 0.5 * size / INPUT_SIZE_PX
    roi = RotatedRoi(box.cx + shift, box.cy + shift, size)
    return roi.crop(image, INPUT_SIZE_PX, border=cv2.BORDER_CONSTANT, out=out)[0]


def softmax(logits: npt.NDArray) -> npt.NDArray[np.float64]:
    """
    Turn logits into probabilities.

    :param logits: (N,) finite.
    :returns: (N,) float64, sum 1.
    """
    weights = np.exp(logits.astype(np.float64) - float(logits.max()))
    return weights / weights.sum()


def interpret(
    logits: npt.NDArray, valence: float, arousal: float, *, backend: str, model: str = ''
) -> EmotionEstimate:
    """
    Make an estimate of one face's outputs.

    :param logits: (8,) or (5,), one for each class.
    :param valence: as the network gives it; clamped to -1..1.
    :param arousal: as the network gives it; clamped to -1..1.
    :param backend: what ran the network.
    :param model: which file it was.
    :returns: probabilities by softmax, the most probable expression, its probability as the
        confidence; unknown where any output is NaN or infinite.
    :raises ValueError: for another number of classes.
    """
    classes = _classes(len(logits))
    if not (np.isfinite(logits).all() and math.isfinite(valence) and math.isfinite(arousal)):
        return EmotionEstimate.unknown(backend, model)
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
    )


def _classes(count: int) -> tuple[int, ...]:
    classes = {len(EIGHT_CLASSES): EIGHT_CLASSES, len(FIVE_CLASSES): FIVE_CLASSES}.get(count)
    if classes is None:
        raise ValueError(f'expected 8 or 5 classes, got {count}')
    return classes


def describe_model(path: Path) -> str:
    """
    Name a model file so that its contents can be told apart: ``emonet.onnx sha256:1f0c...``.

    :param path: the file; read as a whole.
    :raises OSError: when it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f'{path.name} sha256:{digest.hexdigest()[:_SHORT_DIGEST]}'


class EmoNet:
    """
    Estimate the expressions of faces, all faces of an image in one batch.

    :param engine: the network: ``image`` uint8 (N, 256, 256, 3) RGB in; ``expression`` float32
        (N, 8 or 5) logits, ``valence`` and ``arousal`` float32 (N, 1) out. Stays the caller's: it
        is not closed here.
    :param settings: the crop.
    :param max_batch: faces that are run at once; more are run in several batches. At most what
        the engine takes, where it says so (its ``max_batch``).
    :param model: what the estimates name as their model; None for the engine's file with the
        beginning of its SHA-256.
    :raises ValueError: when ``max_batch`` is not positive.
    :raises InferenceError: when the engine is of another network, or its file cannot be read.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        settings: CropSettings = DEFAULT_CROP,
        max_batch: int = 8,
        model: str | None = None,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f'max_batch: expected at least 1, got {max_batch}')
        shapes = {output.name: output.shape for output in engine.outputs}
        try:
            self.expressions = _classes(shapes['expression'][1])
        except (KeyError, IndexError, ValueError) as error:
            raise InferenceError(
                f'{engine}: expected an output expression[N,8] or [N,5], it has'
                f' {", ".join(map(str, engine.outputs))}'
            ) from error
        if model is None:
            try:
                model = describe_model(engine.path)
            except OSError as error:
                raise InferenceError(f'{engine}: {engine.path} cannot be read: {error}') from error
        self.engine = engine
        self.settings = settings
        self.model = model
        self._max_batch = min(max_batch, getattr(engine, 'max_batch', max_batch))

    def run(
        self, image: npt.NDArray[np.uint8], faces: Sequence[FaceRegion]
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
        image = np.ascontiguousarray(image)
        estimates = [EmotionEstimate.unknown(self.engine.backend, self.model)] * len(faces)
        crops = np.empty((len(faces), INPUT_SIZE_PX, INPUT_SIZE_PX, 3), dtype=np.uint8)
        seen: list[int] = []
        for index, face in enumerate(faces):
            if crop_face(image, face, self.settings, out=crops[len(seen)]) is not None:
                seen.append(index)
        for begin in range(0, len(seen), self._max_batch):
            indices = seen[begin : begin + self._max_batch]
            batch = self._estimate(crops[begin : begin + len(indices)])
            for index, estimate in zip(indices, batch):
                estimates[index] = estimate
        return estimates

    def _estimate(self, crops: npt.NDArray[np.uint8]) -> list[EmotionEstimate]:
        outputs = self.engine.infer({'image': crops})
        count = len(crops)
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
            )
            for i in range(count)
        ]
