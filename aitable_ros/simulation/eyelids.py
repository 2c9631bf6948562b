# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Closes the eyes of the astronaut picture by a piecewise-affine warp of the eyelids."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Eye:
    """
    The lines of one eye in the picture: (x, y) in pixels, x rising, linear in between.

    :param box_px: (x0, y0, x1, y1), whole pixels: the part of the picture that a closing lid
        changes, with a margin that it does not.
    :param upper: margin of the upper lid, from corner to corner.
    :param lower: margin of the lower lid, with the same corners.
    :param crease: upper edge of lashes and crease, across the whole box.
    :param brow: lower edge of the eyebrow, across the whole box; nothing moves above it.
    """

    box_px: tuple[int, int, int, int]
    upper: Points
    lower: Points
    crease: Points
    brow: Points


# Read off the enlarged picture (skimage.data.astronaut(), 512 x 512) by eye, the corners checked
# against FaceMesh's landmarks 33, 133, 362 and 263; so that making the sample needs no network.
RIGHT_EYE = Eye(
    box_px=(186, 86, 222, 114),
    upper=(
        (193.5, 101.4), (196, 99.9), (198, 98.7), (200, 97.9), (203, 97.6),
        (206, 97.8), (208, 98.8), (210, 100.2), (212, 102.0), (213.6, 103.4),
    ),
    lower=(
        (193.5, 101.4), (196, 102.6), (198, 103.4), (200, 104.3), (203, 104.8),
        (206, 104.5), (208, 104.2), (210, 103.9), (212, 103.9), (213.6, 103.4),
    ),
    crease=(
        (186, 100.5), (191, 98.6), (194, 97.0), (198, 95.6), (203, 95.0),
        (208, 95.8), (212, 97.6), (217, 100.5), (222, 102.0),
    ),
    brow=((186, 92.0), (190, 91.2), (198, 90.3), (206, 91.3), (213, 93.3), (222, 95.0)),
)  # fmt: skip
LEFT_EYE = Eye(
    box_px=(228, 88, 266, 116),
    upper=(
        (236.4, 105.2), (238, 103.3), (240, 102.2), (242, 101.2), (244, 100.6), (247, 100.0),
        (250, 100.4), (252, 101.5), (254, 102.9), (256, 104.0), (257.5, 104.8),
    ),
    lower=(
        (236.4, 105.2), (238, 106.0), (240, 106.3), (242, 106.5), (244, 107.0), (247, 107.2),
        (250, 106.8), (252, 106.3), (254, 105.8), (256, 105.3), (257.5, 104.8),
    ),
    crease=(
        (228, 104.0), (234, 102.6), (238, 99.6), (241, 98.2), (244, 97.6),
        (248, 97.4), (252, 98.2), (256, 100.3), (260, 103.5), (266, 106.0),
    ),
    brow=(
        (228, 97.0), (238, 94.8), (244, 94.5), (250, 94.3), (256, 94.8), (260, 97.0), (266, 100.0),
    ),
)  # fmt: skip

# Where the lids meet: the upper lid does 85 % of the way, as in people.
_MEETING_HEIGHT = 0.85
# Lashes and lid margin of the shut eye: a dark line of this height, in pixels of the picture.
_LASH_LINE_PX = 1.0
# The lashes sink with the lid up to this far beyond the corners.
_CORNER_PX = 4.0
# The skin below the lower lid gives way over this height.
_CHEEK_PX = 6.0
# Shading, as share of brightness taken away: the fold where the crease was, and the lid's own
# roundness, which turns it away from the light towards its margin.
_FOLD_SHADE = 0.06
_FOLD_WIDTH_PX = 1.0
_LID_SHADE = 0.12
# Oversampling while warping, against stairs along the lid margins.
_SUPERSAMPLING = 2


class EyelidPainter:
    """
    Paints the eyes of the astronaut picture at any openness.

    Every column of the picture is divided at the brow, the crease, the two lid margins and the
    cheek; closing moves these points and each piece in between is stretched or squeezed
    linearly. The upper lid is covered with the skin from between crease and brow, lashes and
    lid margin shrink to the lash line, and the eyeball stays where it is.

    :param picture: (H, W, 3) uint8 RGB, ``skimage.data.astronaut()``.
    :param scale: pixels of the result per pixel of the picture.
    """

    def __init__(self, picture: npt.NDArray[np.uint8], scale: int) -> None:
        self._scale = scale
        fine = scale * _SUPERSAMPLING
        self._fine = fine
        self._magnified = np.asarray(
            cv2.resize(picture, None, fx=fine, fy=fine, interpolation=cv2.INTER_CUBIC), np.uint8
        )

    @property
    def magnified(self) -> npt.NDArray[np.uint8]:
        """The whole picture at the painter's scale, eyes open: (H * scale, W * scale, 3)."""
        return self._reduce(self._magnified)

    def paint(self, eye: Eye, openness: float) -> npt.NDArray[np.uint8]:
        """
        Paint one eye.

        :param eye: which one.
        :param openness: 0 shut .. 1 as in the picture.
        :returns: the magnified picture's part in ``eye.box_px`` times scale, with this openness;
            its border is the magnified picture's own.
        """
        closing = 1.0 - openness
        x0, y0, x1, y1 = eye.box_px
        # Pixel centres of the fine grid in the picture's pixels.
        x = (np.arange((x1 - x0) * self._fine) + 0.5) / self._fine - 0.5 + x0
        y = ((np.arange((y1 - y0) * self._fine) + 0.5) / self._fine - 0.5 + y0)[:, None]
        upper, lower, crease, brow = (
            np.interp(x, *np.array(line).T)[None]
            for line in (eye.upper, eye.lower, eye.crease, eye.brow)
        )
        opening = lower - upper
        # 1 over the eye, falling to 0 just beyond its corners.
        inward = np.minimum(x - eye.upper[0][0], eye.upper[-1][0] - x)[None]
        ramp = np.clip((inward + _CORNER_PX) / (_CORNER_PX + 1), 0, 1)
        lid = closing * ramp * ramp * (3 - 2 * ramp)

        new_upper = upper + closing * _MEETING_HEIGHT * opening
        new_lower = lower - closing * (1 - _MEETING_HEIGHT) * opening
        lashes = upper - crease
        new_lashes = lashes + lid * (np.minimum(lashes, _LASH_LINE_PX) - lashes)
        lid_edge = new_upper - new_lashes
        cheek = lower + _CHEEK_PX

        source_y = np.broadcast_to(y, (len(y), len(x))).copy()
        for (new_top, new_bottom), (top, bottom) in (
            ((brow, lid_edge), (brow, crease)),
            ((lid_edge, new_upper), (crease, upper)),
            ((new_lower, cheek), (lower, cheek)),
        ):
            inside = (y >= new_top) & (y < new_bottom)
            way = (y - new_top) / (new_bottom - new_top)
            source_y = np.where(inside, top + way * (bottom - top), source_y)
        painted = cv2.remap(
            self._magnified,
            np.broadcast_to(((x + 0.5) * self._fine - 0.5), source_y.shape).astype(np.float32),
            ((source_y + 0.5) * self._fine - 0.5).astype(np.float32),
            cv2.INTER_LINEAR,
        )

        fold = _FOLD_SHADE * lid * np.exp(-(((y - crease) / _FOLD_WIDTH_PX) ** 2))
        depth = np.clip((y - crease) / np.maximum(new_upper - crease, 1e-3), 0, 1)
        roundness = _LID_SHADE * lid * depth**2 * (y < new_upper)
        light = (1 - fold) * (1 - roundness)
        shaded = np.rint(painted * light[..., None]).astype(np.uint8)
        return self._reduce(shaded)

    def _reduce(self, fine: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        size = (fine.shape[1] // _SUPERSAMPLING, fine.shape[0] // _SUPERSAMPLING)
        return np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), np.uint8)
