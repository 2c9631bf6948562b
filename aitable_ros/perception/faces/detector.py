# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Face detection with BlazeFace short-range: letterbox, anchors, weighted NMS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine
from aitable_ros.perception.images.checks import check_float32
from aitable_ros.perception.images.ssd import SsdNetwork, anchor_centres

INPUT_SIZE_PX = 128
"""Side of BlazeFace short-range's input."""

KEYPOINTS = 6
"""Right eye, left eye, nose tip, mouth centre, right and left ear tragion (the subject's own)."""

_GRIDS = ((16, 2), (8, 6))
"""(cells per side, anchors per cell) of BlazeFace's two feature maps (strides 8 and 16)."""


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """
    One face found by the detector.

    :param xywh_px: (4,) float32: left, top, width, height in image pixels; may reach outside.
    :param score: 0..1.
    :param keypoints_px: (6, 2) float32 x, y in image pixels: right eye, left eye, nose tip,
        mouth centre, right ear tragion, left ear tragion (left and right of the subject).
    :raises ValueError: for other shapes or element types, or a score outside of 0..1.
    """

    xywh_px: npt.NDArray[np.float32]
    score: float
    keypoints_px: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        check_float32('xywh_px', self.xywh_px, (4,))
        check_float32('keypoints_px', self.keypoints_px, (KEYPOINTS, 2))
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f'score: expected 0..1, got {self.score}')


def blazeface_anchors() -> npt.NDArray[np.float32]:
    """
    Return the centres of BlazeFace short-range's anchors.

    A 16x16 grid with 2 and an 8x8 grid with 6 anchors per cell, row by row, in the middle of
    the cells, all of unit size (MediaPipe ``SsdAnchorsCalculator``, ``fixed_anchor_size``).

    :returns: (896, 2) float32 x, y in 0..1 of the input square.
    """
    return anchor_centres(_GRIDS)


class FaceDetector:
    """
    Find faces in an image with BlazeFace short-range (Bazarevsky et al. 2019, arXiv:1907.05047).

    Pre- and post-processing are MediaPipe's (``face_detection_short_range`` graph of 0.10.21).
    The network sees the whole image in 128 x 128 pixels, so that faces below about a tenth of
    the longer image side are missed.

    :param engine: face_detection network: ``image`` uint8 (N, 128, 128, 3) RGB in; ``boxes``
        float32 (N, 896, 16) in input pixels relative to the anchors and ``scores`` float32
        (N, 896, 1) logits out. Stays the caller's: it is not closed here.
    :param min_score: detections below are dropped, 0..1; 1 lets none pass.
    :param nms_iou: boxes that overlap more than this are merged, 0..1.
    :param max_faces: at most so many faces are returned, the best ones.
    :raises ValueError: for a setting out of range.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        min_score: float = 0.5,
        nms_iou: float = 0.3,
        max_faces: int = 16,
    ) -> None:
        if max_faces < 1:
            raise ValueError(f'max_faces: expected at least 1, got {max_faces}')
        self.engine = engine
        self._max_faces = max_faces
        self._network = SsdNetwork(
            engine,
            anchors=blazeface_anchors(),
            input_size_px=INPUT_SIZE_PX,
            points=KEYPOINTS,
            min_score=min_score,
            nms_iou=nms_iou,
        )

    def detect(self, image: npt.NDArray[np.uint8]) -> list[FaceDetection]:
        """
        Find the faces of one image.

        :param image: (H, W, 3) uint8 RGB of any size.
        :returns: faces, best first; none where the network's output is not finite.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        found = self._network.detect(image)
        return [FaceDetection(*face) for face in found[: self._max_faces]]
