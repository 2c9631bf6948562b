# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What MediaPipe's single-shot detectors share: letterbox, anchors, decoding, weighted NMS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.maths.logistic import expit, logit

NMS_IOU = 0.3
"""Boxes that overlap more than this are one object."""


@dataclass(frozen=True, eq=False)
class Detection:
    """
    An object found by a detector.

    :param xywh_px: (4,) float32 left, top, width, height in image pixels; may reach outside.
    :param score: 0..1.
    :param keypoints_px: (K, 2) float32 x, y in image pixels.
    :param sure: False: it takes a closer look to believe it.
    """

    xywh_px: npt.NDArray[np.float32]
    score: float
    keypoints_px: npt.NDArray[np.float32]
    sure: bool = True


def anchor_centres(grids: Sequence[tuple[int, int]]) -> npt.NDArray[np.float32]:
    """
    Return the centres of a detector's anchors.

    Grid after grid, row by row, in the middle of the cells, all of unit size (MediaPipe
    ``SsdAnchorsCalculator``, ``fixed_anchor_size``).

    :param grids: (cells per side, anchors per cell) of each feature map.
    :returns: (N, 2) float32 x, y in 0..1 of the input square.
    """
    centres = []
    for cells, per_cell in grids:
        axis = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        x, y = np.meshgrid(axis, axis)
        centres.append(np.repeat(np.stack((x.ravel(), y.ravel()), axis=1), per_cell, axis=0))
    return np.concatenate(centres)


def turned_back(found: Detection, turns: int, shape: tuple[int, ...]) -> Detection:
    """
    Give a detection in a picture that was turned, in coordinates of the picture before; unsure.

    :param turns: by how many quarters it was turned counterclockwise (``np.rot90``), 0 to 3.
    :param shape: of the picture before: height, width and more.
    """
    (x, y, w, h), points = found.xywh_px.tolist(), found.keypoints_px
    for k in range(turns, 0, -1):
        # the width of the picture before this quarter turn
        right = (shape[1] if k % 2 else shape[0]) - 1.0
        x, y, w, h = right - y - h, x, h, w
        points = np.stack([right - points[:, 1], points[:, 0]], axis=1)
    return Detection(np.array((x, y, w, h), np.float32), found.score, points, sure=False)


def iou_matrix(a_xywh: npt.NDArray, b_xywh: npt.NDArray) -> npt.NDArray[np.float64]:
    """
    Return the intersection over union of every box of a with every box of b.

    :param a_xywh: (N, 4) left, top, width, height.
    :param b_xywh: (M, 4) in the same unit.
    :returns: (N, M) float64, 0..1; 0 where both boxes are empty.
    """
    a = np.asarray(a_xywh, dtype=np.float64)[:, None, :]
    b = np.asarray(b_xywh, dtype=np.float64)[None, :, :]
    upper_left = np.maximum(a[..., :2], b[..., :2])
    lower_right = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = np.clip(lower_right - upper_left, 0.0, None).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0.0)


def weighted_nms(
    scores: npt.NDArray, vectors: npt.NDArray, min_iou: float
) -> list[tuple[float, npt.NDArray]]:
    """
    Merge overlapping boxes into their score-weighted mean (BlazeFace paper, section 4.2).

    The best box left takes all boxes that overlap it by more than ``min_iou``; their weighted
    mean is one result with the best one's score. Unlike plain NMS this does not make the box
    jump between neighbouring anchors from frame to frame.

    :param scores: (N,) weights, positive.
    :param vectors: (N, K) float: left, top, width, height, then any further coordinates.
    :param min_iou: boxes that overlap more than this are the same object.
    :returns: (score, (K,) mean vector) per object, best first.
    """
    order = np.argsort(-scores, kind='stable')
    scores, vectors = scores[order], vectors[order]
    overlaps = iou_matrix(vectors[:, :4], vectors[:, :4]) > min_iou
    merged = []
    left = np.ones(len(scores), dtype=bool)
    for best in range(len(scores)):
        if not left[best]:
            continue
        group = overlaps[best] & left
        group[best] = True
        left &= ~group
        weights = scores[group]
        merged.append((float(scores[best]), weights @ vectors[group] / weights.sum()))
    return merged


def decode_detections(
    boxes: npt.NDArray,
    logits: npt.NDArray,
    anchors_px: npt.NDArray,
    min_logit: float,
) -> list[tuple[float, npt.NDArray]]:
    """
    Read a detector's output.

    :param boxes: (N, 4 + 2 K) centre x, y, width, height and x, y of K keypoints, in pixels of
        the input, relative to the anchors.
    :param logits: (N,).
    :param anchors_px: (N, 2) centres of the anchors in the same pixels.
    :param min_logit: what is below is dropped, as are boxes that are not finite or empty.
    :returns: (score, (4 + 2 K,) left, top, width, height, keypoints x, y) per object, in pixels
        of the input, best first.
    """
    # Comparing logits spares the sigmoid of every anchor; NaN fails the comparison.
    chosen = np.flatnonzero(logits >= min_logit)
    if not chosen.size:
        return []
    vectors = boxes[chosen].astype(np.float64)
    scores = logits[chosen].astype(np.float64)
    valid = (
        np.isfinite(vectors).all(axis=1)
        & np.isfinite(scores)
        & (vectors[:, 2] > 0.0)
        & (vectors[:, 3] > 0.0)
    )
    if not valid.all():
        chosen, vectors, scores = chosen[valid], vectors[valid], scores[valid]
        if not chosen.size:
            return []
    centres = anchors_px[chosen]
    vectors[:, :2] += centres - 0.5 * vectors[:, 2:4]
    vectors[:, 4:] += np.tile(centres, vectors.shape[1] // 2 - 2)
    return weighted_nms(expit(scores), vectors, NMS_IOU)


class SsdDetector:
    """
    Find objects in whole images with a single-shot detector.

    The image is letterboxed into the network's square, in black.

    :param engine: ``image`` uint8 (N, S, S, 3) RGB in; ``boxes`` float32 (N, A, 4 + 2 K) in input
        pixels relative to the A anchors of :attr:`grids`, and ``scores`` float32 (N, A, 1) logits
        out. Stays the caller's: it is not closed here.
    :param min_score: detections below are dropped, 0..1; 1 lets none pass.
    :raises ValueError: for a score out of range.
    """

    grids: Sequence[tuple[int, int]]
    """(cells per side, anchors per cell) of each feature map."""
    points: ClassVar[int]
    """K, keypoints of an object."""

    def __init__(self, engine: Engine, *, min_score: float = 0.5) -> None:
        if not 0.0 <= min_score <= 1.0:
            raise ValueError(f'min_score: expected 0..1, got {min_score}')
        self._engine = engine
        self.input_size_px = engine.inputs[0].shape[1]
        self._anchors_px = anchor_centres(self.grids) * self.input_size_px
        self._min_logit = logit(min_score)

    def detect(
        self, image: npt.NDArray[np.uint8], roi: RotatedRoi | None = None
    ) -> list[Detection]:
        """
        Find the objects of one image.

        :param image: (H, W, 3) uint8 RGB of any size.
        :param roi: where to look; None: in all of it. In one that is turned, boxes have the width
            and height that they have there.
        :returns: objects, best first; none where the network's output is not finite.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        check_image(image)
        roi = roi or RotatedRoi.around(image)
        crop, to_image = roi.crop(image, self.input_size_px, border=cv2.BORDER_CONSTANT)
        outputs = self._engine.infer({'image': crop[None]})
        boxes, logits = outputs['boxes'], outputs['scores']
        anchors, size = len(self._anchors_px), 4 + 2 * self.points
        if boxes.shape != (1, anchors, size) or logits.shape != (1, anchors, 1):
            raise InferenceError(
                f'{self._engine}: expected boxes [1,{anchors},{size}] and scores [1,{anchors},1], '
                f'got {list(boxes.shape)} and {list(logits.shape)}'
            )
        found = decode_detections(boxes[0], logits[0, :, 0], self._anchors_px, self._min_logit)
        turn, scale, offset = to_image[:, :2], to_image[0, 0], to_image[:, 2]
        objects = []
        for score, vector in found:
            if roi.angle_rad:
                wide = vector[2:4] * (roi.size / self.input_size_px)
                middle = turn @ (vector[:2] + 0.5 * vector[2:4]) + offset
                box = np.concatenate((middle - 0.5 * wide, wide))
                points = vector[4:].reshape(-1, 2) @ turn.T + offset
            else:
                box = np.concatenate((vector[:2] * scale + offset, vector[2:4] * scale))
                points = vector[4:].reshape(-1, 2) * scale + offset
            objects.append(Detection(box.astype(np.float32), score, points.astype(np.float32)))
        return objects
