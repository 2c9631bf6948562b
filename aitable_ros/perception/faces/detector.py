# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Face detection with BlazeFace short-range."""

from __future__ import annotations

from aitable_ros.perception.images.ssd import SsdDetector

KEYPOINTS = 6
"""Right eye, left eye, nose tip, mouth centre, right and left ear tragion (the subject's own)."""


class FaceDetector(SsdDetector):
    """
    Find faces in an image with BlazeFace short-range (Bazarevsky et al. 2019, arXiv:1907.05047).

    Pre- and post-processing are MediaPipe's (``face_detection_short_range`` graph of 0.10.21).
    The network sees the whole image in 128 x 128 pixels, so that faces below about a tenth of
    the longer image side are missed. Keypoints are those of :data:`KEYPOINTS`.
    """

    input_size_px = 128
    grids = ((16, 2), (8, 6))  # strides 8 and 16
    points = KEYPOINTS
