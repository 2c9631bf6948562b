# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The body keypoints of one person in an image stream, with BlazePose.

Bazarevsky et al. 2020, arXiv:2006.10204; Grishchenko et al. 2022, arXiv:2206.11678 (GHUM, world
landmarks). Pre- and post-processing are MediaPipe's (``pose_landmark_cpu`` graph of 0.10.21).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.ssd import SsdDetector
from aitable_ros.perception.maths.logistic import expit
from aitable_ros.perception.posture.body_keypoints import (
    KEYPOINT_COUNT,
    BodyKeypoints,
)

LANDMARK_SIZE_PX = 256
"""Side of the landmark network's input."""

ALIGNMENT_POINTS = 4
"""Of a detection: middle of the hips; a point on the circle around the whole body, above the head
of who stands straight; middle of the shoulders; the same for the upper body."""

ROI_SCALE = 1.25
"""How much larger than the circle's diameter the region is (``RectTransformationCalculator``)."""

_CENTRE, _ON_CIRCLE = 33, 34
"""After the landmark network's 33 keypoints come the two points that give the next region, then
four that MediaPipe does not use either."""

_HEATMAP_SIZE = 64
_HEATMAP_KERNEL = 9
_HEATMAP_MIN_PEAK = 0.5
"""Defaults of MediaPipe's ``RefineLandmarksFromHeatmapCalculatorOptions``."""


@dataclass(frozen=True, eq=False)
class BodyLandmarks:
    """
    What the landmark network says of one region.

    :param keypoints: the person's; its score is the network's presence.
    :param alignment_px: (2, 2) float32, middle of the hips and a point on the circle around the
        body, in image pixels: where to look in the next image.
    :param roi: the region looked at.
    """

    keypoints: BodyKeypoints
    alignment_px: npt.NDArray[np.float32]
    roi: RotatedRoi


def roi_from_alignment(alignment_px: npt.NDArray) -> RotatedRoi | None:
    """
    Return where to look for the keypoints of a person.

    The square around the circle about the first point through the second, enlarged, turned so
    that the second lies straight above (MediaPipe ``AlignmentPointsRectsCalculator``).

    :param alignment_px: (2 or more, 2) x, y: middle of the hips, point on the circle.
    :returns: None when the points coincide or are not finite.
    """
    (cx, cy), (x, y) = alignment_px[:2].astype(np.float64).tolist()
    radius = math.hypot(x - cx, y - cy)
    if not 0.0 < radius < math.inf:
        return None
    return RotatedRoi(cx, cy, 2.0 * ROI_SCALE * radius, math.atan2(x - cx, cy - y))


class BodyDetector(SsdDetector):
    """
    Find people in an image with BlazePose's detector.

    It looks for faces (``xywh_px``), and estimates from them where the body is (``keypoints_px``,
    see :data:`ALIGNMENT_POINTS`); the whole image is seen in 224 x 224 pixels, and people that
    fill less than a fifth or so of it are missed.
    """

    grids = ((28, 2), (14, 2), (7, 6))  # strides 8, 16, and three times 32
    points = ALIGNMENT_POINTS


class BodyLandmarker:
    """
    Measure one person's keypoints with BlazePose GHUM.

    :param engine: pose_landmark network: ``image`` uint8 (N, 256, 256, 3) RGB in; ``landmarks``
        float32 (N, 39, 5): x, y, z in input pixels, visibility and presence as logits;
        ``presence`` float32 (N, 1) probability; ``heatmap`` float32 (N, 64, 64, 39) logits;
        ``world`` float32 (N, 39, 3) metres. Stays the caller's: it is not closed here.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, image: npt.NDArray[np.uint8], roi: RotatedRoi) -> BodyLandmarks | None:
        """
        Measure the person in a region.

        A keypoint's visibility is the lower of what the network says of being in the picture
        (presence) and of being there and not hidden (visibility), and 0 outside of the image.

        :param image: (H, W, 3) uint8 RGB.
        :param roi: where the person is.
        :returns: None where the network's output is not finite. The caller judges the score.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        check_image(image)
        crop, to_image = roi.crop(image, LANDMARK_SIZE_PX)
        outputs = self.engine.infer({'image': crop[None]})
        for tensor in self.engine.outputs:
            if outputs[tensor.name].shape != (1, *tensor.shape[1:]):
                raise InferenceError(
                    f'{self.engine}: expected {tensor}, got {list(outputs[tensor.name].shape)}'
                )
        landmarks = outputs['landmarks'][0].astype(np.float64)
        world = outputs['world'][0].astype(np.float64)
        heatmap = outputs['heatmap'][0]
        score = float(outputs['presence'][0, 0])
        if not (
            np.isfinite(landmarks).all()
            and np.isfinite(world).all()
            and np.isfinite(heatmap).all()
            and math.isfinite(score)
        ):
            return None
        xy = refine_from_heatmap(landmarks[:, :2], heatmap)
        with np.errstate(over='ignore', invalid='ignore'):
            xy_px = (xy @ to_image[:, :2].T + to_image[:, 2]).astype(np.float32)
        if not np.isfinite(xy_px).all():
            return None
        keypoints_px = xy_px[:KEYPOINT_COUNT]
        height, width = image.shape[:2]
        inside = ((keypoints_px >= 0.0) & (keypoints_px <= (width - 1, height - 1))).all(axis=1)
        visibility = expit(landmarks[:KEYPOINT_COUNT, 3:]).min(axis=1) * inside
        return BodyLandmarks(
            BodyKeypoints(
                keypoints_px,
                visibility.astype(np.float32),
                min(max(score, 0.0), 1.0),
                _turned(world[:KEYPOINT_COUNT], roi.angle_rad).astype(np.float32),
            ),
            xy_px[[_CENTRE, _ON_CIRCLE]],
            roi,
        )


def refine_from_heatmap(xy_px: npt.NDArray, heatmap: npt.NDArray) -> npt.NDArray[np.float64]:
    """
    Move points to the heatmap's centre of gravity about them, where the heatmap is sure.

    MediaPipe ``RefineLandmarksFromHeatmapCalculator``: 9 x 9 cells around the point, weighted by
    the sigmoid of the heatmap; a point whose best cell is below 0.5, or that lies outside, stays.

    :param xy_px: (39, 2) in pixels of the landmark network's input.
    :param heatmap: (64, 64, 39) logits: row, column, point.
    :returns: (39, 2) float64 in the same pixels.
    """
    cell_px = LANDMARK_SIZE_PX / _HEATMAP_SIZE
    # Clipped far outside first: what does not fit into an integer is as far out as any.
    cells = np.trunc(np.clip(xy_px / cell_px, -1e6, 1e6)).astype(np.int64)
    reach = _HEATMAP_KERNEL // 2
    steps = np.arange(-reach, reach + 1)
    columns = cells[:, 0, None, None] + steps[None, None, :]
    rows = cells[:, 1, None, None] + steps[None, :, None]
    columns, rows = np.broadcast_arrays(columns, rows)
    there = (columns >= 0) & (columns < _HEATMAP_SIZE) & (rows >= 0) & (rows < _HEATMAP_SIZE)
    points = np.arange(len(xy_px))[:, None, None]
    last = _HEATMAP_SIZE - 1
    values = heatmap[np.clip(rows, 0, last), np.clip(columns, 0, last), points]
    weights = expit(values.astype(np.float64)) * there
    total = weights.sum(axis=(1, 2))
    inside = ((cells >= 0) & (cells < _HEATMAP_SIZE)).all(axis=1)
    sure = inside & (weights.max(axis=(1, 2)) >= _HEATMAP_MIN_PEAK)
    refined = np.array(xy_px, dtype=np.float64)
    for axis, indices in enumerate((columns, rows)):
        moments = (weights * indices).sum(axis=(1, 2))
        refined[sure, axis] = moments[sure] / total[sure] * cell_px
    return refined


def _turned(world_m: npt.NDArray, angle_rad: float) -> npt.NDArray[np.float64]:
    """Turn points about the camera's axis: from the crop's axes to the image's."""
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    turned = world_m.copy()
    turned[:, 0] = cosine * world_m[:, 0] - sine * world_m[:, 1]
    turned[:, 1] = sine * world_m[:, 0] + cosine * world_m[:, 1]
    return turned
