# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Square, rotated regions of interest: how they are cropped and how results are mapped back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

MAX_SIDE_PX = 32766
"""OpenCV's warps address source pixels with 16-bit indices; larger images are subsampled."""


@dataclass(frozen=True)
class RotatedRoi:
    """
    A square in the image, turned about its centre.

    Cropping follows MediaPipe's ``ImageToTensorCalculator`` (OpenCV path): the square's upper
    left corner falls on the index (0, 0) of the crop, and a step of one crop pixel is a step of
    size / out_size image pixels. Both sides count pixel centres from 0, without the half-pixel
    shift that ``cv2.resize`` makes; the landmark network's output is read in the same way, so
    that landmarks are image coordinates with the centre of the first pixel at (0, 0).

    :param cx: x of the centre [px].
    :param cy: y of the centre [px].
    :param size: length of the sides [px], positive.
    :param angle_rad: rotation from the image's x axis towards its y axis (clockwise as seen),
        so that a face tilted by this angle is upright in the crop.
    :raises ValueError: when a number is not finite or the size is not positive.
    """

    cx: float
    cy: float
    size: float
    angle_rad: float = 0.0

    def __post_init__(self) -> None:
        if not (
            math.isfinite(self.cx)
            and math.isfinite(self.cy)
            and math.isfinite(self.size)
            and math.isfinite(self.angle_rad)
            and self.size > 0.0
        ):
            raise ValueError(f'expected finite numbers and a positive size, got {self}')

    @classmethod
    def around(cls, image: npt.NDArray) -> RotatedRoi:
        """
        Return the smallest upright square around the whole image (letterboxing).

        :param image: (H, W, ...) array.
        """
        height, width = image.shape[:2]
        return cls(width / 2.0, height / 2.0, float(max(height, width)))

    def to_image(self, out_size: int) -> npt.NDArray[np.float64]:
        """
        Return the affine map from crop pixels to image pixels.

        :param out_size: side of the crop [px].
        :returns: (2, 3) float64 matrix A with image_xy = A @ (crop_x, crop_y, 1).
        """
        scale = self.size / out_size
        a = scale * math.cos(self.angle_rad)
        b = scale * math.sin(self.angle_rad)
        half = 0.5 * out_size
        return np.array(
            (
                (a, -b, self.cx + half * (b - a)),
                (b, a, self.cy - half * (a + b)),
            )
        )

    def crop(
        self,
        image: npt.NDArray[np.uint8],
        out_size: int,
        *,
        border: int = cv2.BORDER_REPLICATE,
        out: npt.NDArray[np.uint8] | None = None,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        """
        Sample the region bilinearly.

        :param image: (H, W, 3) uint8; also with the channels in reverse order in memory, as a view
            of BGR pixels has them, which costs nothing: then the crop is turned round.
        :param out_size: side of the crop [px].
        :param border: what lies outside of the image: ``cv2.BORDER_REPLICATE`` (MediaPipe's
            choice for landmarks) or ``cv2.BORDER_CONSTANT`` (zero; its choice for detection).
        :param out: where to write the crop, (out_size, out_size, 3) uint8, C-contiguous.
        :returns: the crop, (out_size, out_size, 3) uint8, and :meth:`to_image` of it.
        """
        to_image = self.to_image(out_size)
        sampling = to_image
        is_reversed = is_view_of_bgr(image)
        if is_reversed:
            image = image[..., ::-1]
        stride = -(-max(image.shape[:2]) // MAX_SIDE_PX)
        if stride > 1:
            image = np.ascontiguousarray(image[::stride, ::stride])
            sampling = to_image / stride
        crop = cv2.warpAffine(
            image,
            sampling,
            (out_size, out_size),
            dst=out,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        )
        if is_reversed:
            crop = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB, dst=crop)
        return crop, to_image  # type: ignore[return-value]


def is_view_of_bgr(image: npt.NDArray) -> bool:
    """Tell whether an RGB image is BGR in memory, read backwards."""
    return image.strides[-1] < 0


def in_rows(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return an image as :meth:`RotatedRoi.crop` takes it without a copy, copied if need be."""
    return image if is_view_of_bgr(image) else np.ascontiguousarray(image)
