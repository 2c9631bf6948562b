# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Face detection with BlazeFace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.images.ssd import SsdDetector

KEYPOINTS = 6
"""Right eye, left eye, nose tip, mouth centre, right and left ear tragion (the subject's own)."""

GRIDS: Mapping[str, Sequence[tuple[int, int]]] = MappingProxyType(
    {
        'face_detection': ((16, 2), (8, 6)),  # strides 8 and 16
        'face_detection_full': ((48, 1),),  # 4
        'face_detection_back': ((16, 2), (8, 6)),  # 16 and 32
    }
)
"""(Cells per side, anchors per cell) of each network's feature maps."""


class FaceDetector(SsdDetector):
    """
    Find faces in an image with a BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047).

    Pre- and post-processing are MediaPipe's (``face_detection_short_range`` graph of 0.10.21).
    The network sees the whole image in a square of 128, 192 or 256 pixels, so that there is a
    smallest face that it finds. Keypoints are those of :data:`KEYPOINTS`.

    :param engine: one of :data:`GRIDS`, as :class:`SsdDetector` has it.
    :param min_score: detections below are dropped, 0..1; 1 lets none pass.
    :raises InferenceError: when the engine is of another network.
    :raises ValueError: for a score out of range.
    """

    points = KEYPOINTS

    def __init__(self, engine: Engine, *, min_score: float = 0.5) -> None:
        if engine.name not in GRIDS:
            raise InferenceError(f'{engine}: expected one of {", ".join(GRIDS)}')
        self.name = engine.name
        self.grids = GRIDS[engine.name]
        super().__init__(engine, min_score=min_score)
