# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks run on regions of an image, which are cut out here or by the engine itself."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine
from aitable_ros.perception.images.roi import MAX_SIDE_PX, RotatedRoi, is_view_of_bgr


def infer_regions(
    engine: Engine,
    image: npt.NDArray[np.uint8],
    rois: Sequence[RotatedRoi],
    size_px: int,
    *,
    border: int = cv2.BORDER_REPLICATE,
) -> tuple[dict[str, npt.NDArray], list[npt.NDArray[np.float64]]]:
    """
    Run a network on regions of an image, all in one batch.

    :param engine: ``image`` uint8 (N, size_px, size_px, 3) in. One that cuts crops itself gets
        the image instead; its results are those of the same crops.
    :param image: (H, W, 3) uint8.
    :param rois: at least one.
    :param size_px: side of the crops.
    :param border: as of :meth:`~aitable_ros.perception.images.roi.RotatedRoi.crop`.
    :returns: the outputs, and each region's map from crop to image pixels.
    :raises InferenceError: when the engine fails.
    """
    if engine.cuts_crops and max(image.shape[:2]) <= MAX_SIDE_PX:
        if is_view_of_bgr(image):
            image = np.asarray(cv2.cvtColor(image[..., ::-1], cv2.COLOR_BGR2RGB), np.uint8)
        to_images = [roi.to_image(size_px) for roi in rois]
        replicate = border == cv2.BORDER_REPLICATE
        return engine.infer_crops(image, np.stack(to_images), replicate=replicate), to_images
    crops = np.empty((len(rois), size_px, size_px, 3), dtype=np.uint8)
    to_images = [
        roi.crop(image, size_px, border=border, out=crop)[1] for roi, crop in zip(rois, crops)
    ]
    return engine.infer({'image': crops}), to_images
