# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The lids of each eye, measured by MediaPipe Iris on a close-up of the eye."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.faces.landmarks import (
    LEFT_EYE_INNER_CORNER,
    LEFT_EYE_OUTER_CORNER,
    RIGHT_EYE_INNER_CORNER,
    RIGHT_EYE_OUTER_CORNER,
)
from aitable_ros.perception.fatigue.eye_openness import EyeAspectRatios, eye_aspect_ratio
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.roi import RotatedRoi

INPUT_SIZE_PX = 64
"""Side of the network's input."""

ROI_SCALE = 2.3
"""How much larger than the eye's width the region is (MediaPipe ``iris_landmark_roi``)."""

CONTOUR_POINTS = 71
"""Points of ``eye_contour``: 0-15 are the lids, the rest eyelid folds and brow."""

EAR_POINTS = (0, 11, 13, 8, 5, 3)
"""p1..p6 of the EAR among them, from the outer corner (mesh 33, 160, 158, 133, 153, 144)."""

# Corners of left and right eye such that the way from the first to the second points to the
# image's right on an upright face.
_CORNERS = (
    (LEFT_EYE_INNER_CORNER, LEFT_EYE_OUTER_CORNER),
    (RIGHT_EYE_OUTER_CORNER, RIGHT_EYE_INNER_CORNER),
)
_NOT_MEASURED = EyeAspectRatios(math.nan, math.nan)


class EyeContours:
    """
    Measure the eye aspect ratios with MediaPipe Iris (Ablavatski et al. 2020, arXiv:2006.11341).

    FaceMesh alone hardly sees lids close; this network, fed with a close-up of each eye, does.

    :param engine: iris_landmark network: ``image`` uint8 (N, 64, 64, 3) RGB of right eyes (left
        ones mirrored) in; ``eye_contour`` float32 (N, 71, 3) in input pixels out. Stays the
        caller's: it is not closed here.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(
        self, image: npt.NDArray[np.uint8], landmarks_px: Sequence[npt.NDArray]
    ) -> list[EyeAspectRatios]:
        """
        Measure the eyes of several faces, all in one batch.

        :param image: (H, W, 3) uint8 RGB.
        :param landmarks_px: (468, 2 or 3) of each face, in image pixels.
        :returns: one entry per face; NaN for eyes whose corners coincide or are not finite, and
            where the network's output is not finite.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives another shape than declared.
        """
        check_image(image)
        rois = [[_roi(face, *corners) for corners in _CORNERS] for face in landmarks_px]
        usable = [(roi, side) for face in rois for side, roi in enumerate(face) if roi is not None]
        if not usable:
            return [_NOT_MEASURED] * len(rois)
        crops = np.empty((len(usable), INPUT_SIZE_PX, INPUT_SIZE_PX, 3), dtype=np.uint8)
        for (roi, side), crop in zip(usable, crops):
            roi.crop(image, INPUT_SIZE_PX, out=crop)
            if side == 0:
                crop[:] = crop[:, ::-1].copy()
        contours = self.engine.infer({'image': crops})['eye_contour']
        if contours.shape != (len(usable), CONTOUR_POINTS, 3):
            raise InferenceError(
                f'{self.engine}: expected eye_contour [{len(usable)},71,3], '
                f'got {list(contours.shape)}'
            )
        # Ratios do not change with mirroring and scale: no need to go back to the image.
        ratios = iter([eye_aspect_ratio(lids) for lids in contours[:, list(EAR_POINTS)]])
        return [
            EyeAspectRatios(*(math.nan if roi is None else next(ratios) for roi in face))
            for face in rois
        ]


def _roi(landmarks_px: npt.NDArray, from_index: int, to_index: int) -> RotatedRoi | None:
    (x0, y0), (x1, y1) = landmarks_px[[from_index, to_index], :2].tolist()
    width = math.hypot(x1 - x0, y1 - y0)
    if not 0.0 < width < math.inf:
        return None
    return RotatedRoi(
        0.5 * (x0 + x1), 0.5 * (y0 + y1), ROI_SCALE * width, math.atan2(y1 - y0, x1 - x0)
    )
