# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The landmarks of a face in one image, by MediaPipe's FaceMesh or attention mesh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.faces.landmarks import (
    LANDMARKS,
    LEFT_EYE_OUTER_CORNER,
    REFINED_LANDMARKS,
    RIGHT_EYE_OUTER_CORNER,
    are_refined,
    refined_landmarks,
)
from aitable_ros.perception.images.checks import check_float32, check_image
from aitable_ros.perception.images.regions import infer_regions
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.ssd import Detection
from aitable_ros.perception.maths.logistic import expit_of

INPUT_SIZE_PX = 192
"""Side of FaceMesh's input."""

ROI_SCALE = 1.5
"""How much larger than the face the region is (MediaPipe ``RectTransformationCalculator``)."""


@dataclass(frozen=True, eq=False)
class FaceMeshResult:
    """
    Landmarks of one face.

    :param landmarks_px: (468, 3) float32, or (478, 3) with irises and refined lids and lips,
        finite: x, y in image pixels; z in the same scale, relative to the head's centre, smaller
        is nearer to the camera.
    :param presence: probability that the landmarks lie on a face, 0..1.
    :param roi: the region they were looked for in.
    :raises ValueError: for another shape or element type, or a presence outside of 0..1.
    """

    landmarks_px: npt.NDArray[np.float32]
    presence: float
    roi: RotatedRoi

    def __post_init__(self) -> None:
        count = REFINED_LANDMARKS if are_refined(self.landmarks_px) else LANDMARKS
        check_float32('landmarks_px', self.landmarks_px, (count, 3))
        if not 0.0 <= self.presence <= 1.0:
            raise ValueError(f'presence: expected 0..1, got {self.presence}')

    @cached_property
    def xywh_px(self) -> npt.NDArray[np.float32]:
        """Tight box around the landmarks: (4,) float32 left, top, width, height."""
        return landmark_box(self.landmarks_px)


def landmark_box(landmarks_px: npt.NDArray) -> npt.NDArray[np.float32]:
    """
    Return the tight box around landmarks.

    :param landmarks_px: (N, 2 or 3), x and y first.
    :returns: (4,) float32 left, top, width, height.
    """
    # Reducing contiguous rows is several times faster than strided columns.
    xy = np.ascontiguousarray(landmarks_px.T[:2])
    left, top = np.minimum.reduce(xy, axis=1).tolist()
    right, bottom = np.maximum.reduce(xy, axis=1).tolist()
    return np.array((left, top, right - left, bottom - top), np.float32)


def _roi(xywh_px: npt.NDArray, from_px: npt.NDArray, to_px: npt.NDArray) -> RotatedRoi:
    x, y, width, height = xywh_px.tolist()
    (from_x, from_y), (to_x, to_y) = from_px[:2].tolist(), to_px[:2].tolist()
    angle = math.atan2(to_y - from_y, to_x - from_x)
    return RotatedRoi(x + 0.5 * width, y + 0.5 * height, ROI_SCALE * max(width, height), angle)


def roi_from_detection(detection: Detection) -> RotatedRoi:
    """
    Return where to look for the landmarks of a detected face.

    The square around the box, enlarged, turned so that the eyes are level (MediaPipe
    ``FaceDetectionFrontDetectionToRoi``).

    :param detection: a face; its box must not be empty.
    :raises ValueError: for an empty box.
    """
    points = detection.keypoints_px
    return _roi(detection.xywh_px, points[0], points[1])


def roi_from_landmarks(landmarks_px: npt.NDArray, xywh_px: npt.NDArray) -> RotatedRoi:
    """
    Return where to look for the face in the next image.

    The square around the landmarks' tight box, enlarged, turned so that the outer eye corners
    33 and 263 are level (MediaPipe ``FaceLandmarkLandmarksToRoi`` of 0.10.21).

    :param landmarks_px: (468 or 478, 2 or 3), x and y first.
    :param xywh_px: their :func:`landmark_box`.
    :raises ValueError: when all landmarks coincide or are not finite.
    """
    right, left = landmarks_px[RIGHT_EYE_OUTER_CORNER], landmarks_px[LEFT_EYE_OUTER_CORNER]
    return _roi(xywh_px, right, left)


class FaceMesh:
    """
    Measure face landmarks with FaceMesh (Kartynnik et al. 2019, arXiv:1907.06724), or with the
    attention mesh (Grishchenko et al. 2020, arXiv:2006.10962), which sees lids, lips and irises.

    :param engine: face_mesh network: ``image`` uint8 (N, 192, 192, 3) RGB in; ``landmarks``
        float32 (N, 468, 3) in input pixels and ``presence`` float32 (N, 1) logits out. Or
        face_attention, with what
        :func:`~aitable_ros.perception.faces.landmarks.refined_landmarks` puts together. Stays
        the caller's: it is not closed here.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.refined = 'lips' in {output.name for output in engine.outputs}
        """Whether lids, lips and irises are measured by themselves."""

    def run(
        self, image: npt.NDArray[np.uint8], rois: Sequence[RotatedRoi]
    ) -> list[FaceMeshResult | None]:
        """
        Measure one face in each region, all in one batch.

        :param image: (H, W, 3) uint8 RGB.
        :param rois: where the faces are.
        :returns: one entry per region, in their order; None where the network's output is not
            finite. The caller judges ``presence``.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        check_image(image)
        count = len(rois)
        if not count:
            return []
        outputs, to_images = infer_regions(self.engine, image, rois, INPUT_SIZE_PX)
        for spec in self.engine.outputs:
            shape, given = [count, *spec.shape[1:]], list(outputs[spec.name].shape)
            if given != shape:
                raise InferenceError(f'{self.engine}: expected {spec.name} {shape}, got {given}')
        landmarks = refined_landmarks(outputs) if self.refined else outputs['landmarks']
        logits = outputs['presence']
        return [
            self._result(landmarks[i], float(logits[i, 0]), rois[i], to_images[i])
            for i in range(count)
        ]

    @staticmethod
    def _result(
        landmarks: npt.NDArray, logit: float, roi: RotatedRoi, to_image: npt.NDArray
    ) -> FaceMeshResult | None:
        values = landmarks.ravel()
        # A product with itself is finite only if every number is, and none absurdly large.
        if not (math.isfinite(logit) and math.isfinite(float(np.dot(values, values)))):
            return None
        (a, b, x), (c, d, y) = to_image.tolist()
        scale = roi.size / INPUT_SIZE_PX
        landmarks_px = landmarks @ np.array(((a, c, 0), (b, d, 0), (0, 0, scale)), np.float32)
        # each by itself: rows of two are added in as many steps as there are rows
        landmarks_px[:, 0] += x
        landmarks_px[:, 1] += y
        return FaceMeshResult(landmarks_px, expit_of(logit), roi)
