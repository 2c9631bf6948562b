# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What MediaPipe's single-shot detectors share: anchors, decoding, weighted NMS."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAX_LOGIT = 100.0
"""Scores are clipped to +-100 before the sigmoid, as in MediaPipe's ``score_clipping_thresh``."""


def logit(probability: float) -> float:
    """Return the number whose sigmoid is this probability; infinite for 0 and 1."""
    if probability in (0.0, 1.0):
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1.0 - probability))


def sigmoid(logits: npt.NDArray) -> npt.NDArray[np.float64]:
    """Return the probabilities of logits of any size, without overflow."""
    clipped = np.clip(np.asarray(logits, dtype=np.float64), -MAX_LOGIT, MAX_LOGIT)
    return 1.0 / (1.0 + np.exp(-clipped))


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
    *,
    min_logit: float,
    nms_iou: float,
) -> list[tuple[float, npt.NDArray]]:
    """
    Read a detector's output.

    :param boxes: (N, 4 + 2 K) centre x, y, width, height and x, y of K keypoints, in pixels of
        the input, relative to the anchors.
    :param logits: (N,).
    :param anchors_px: (N, 2) centres of the anchors in the same pixels.
    :param min_logit: what is below is dropped, as are boxes that are not finite or empty.
    :param nms_iou: boxes that overlap more than this are merged.
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
    return weighted_nms(sigmoid(scores), vectors, nms_iou)
