# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
How far the eyes are from the camera: by their apparent distance, or by a depth image.

Positions are in the optical frame of REP-103 (x right, y down, z forward).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.maths.settings import Settings, setting

Array = npt.NDArray[np.float64]

MEAN_ADULT_IPD_M = 0.063
"""
Mean distance between the pupils of adults [m].

Dodgson, "Variation and extrema of human interpupillary distance", SPIE 5291, 2004: the mean is
about 63 mm, nearly all adults lie between 50 and 75 mm, children from five years on above 40 mm.
"""

# Depth images show the surface; below this many samples a median says little.
_MIN_SAMPLES = 5
_FOREGROUND_PERCENTILE = 20.0


class DistanceSource(IntEnum):
    """What the distance was measured with."""

    NONE = 0
    EYES = 1
    DEPTH = 2


@dataclass(frozen=True)
class DistanceSettings(Settings):
    """
    How distances are measured.

    :param eye_distance_m: distance between the person's pupils [m] (0.063: mean of adults,
        Dodgson 2004; children have less: too small a value measures too near).
    :param max_turn_rad: with the eyes' line turned farther out of the image plane no distance is
        measured from it [rad] (50 degrees: choice; it appears a third shorter there).
    :param min_eyes_px: with eyes closer together in the image no distance is measured from them
        [pixels] (8: choice; a pixel is 12 % then).
    :param patch_ratio: half the side of the depth image's patch around a keypoint, over the
        apparent distance of the eyes (0.2: choice; about a centimetre).
    :param min_valid_ratio: of a patch so many samples must be valid (0.1: choice).
    :param foreground_m: samples of a patch farther than this behind its foreground belong to
        something else [m] (0.12: choice).
    :param min_depth_m: nearer samples are none [m] (0.1: nearer than any depth camera measures).
    :param max_depth_m: farther samples are none [m] (4: beyond a table).
    :raises ValueError: for a value out of range.
    """

    eye_distance_m: float = setting(MEAN_ADULT_IPD_M, 0.04, 0.09, basic=True)
    max_turn_rad: float = setting(math.radians(50.0), 0.1, 1.5)
    min_eyes_px: float = setting(8.0, 1.0, 200.0)
    patch_ratio: float = setting(0.2, 0.05, 2.0)
    min_valid_ratio: float = setting(0.1, 0.01, 1.0)
    foreground_m: float = setting(0.12, 0.01, 1.0)
    min_depth_m: float = setting(0.1, 0.01, 5.0)
    max_depth_m: float = setting(4.0, 0.1, 20.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_depth_m < self.max_depth_m:
            raise ValueError(f'need min_depth_m < max_depth_m: {self}')


@dataclass(frozen=True, eq=False)
class DepthImage:
    """
    A depth image that is registered to the colour image: the same view, maybe another size.

    :param values: (H, W) uint16 or float32; distances along the optical axis (z, not along the
        ray; REP-118). 0, NaN and infinite: not measured.
    :param unit_m: length of 1 in ``values`` [m]; REP-118: 0.001 for uint16, 1 for float32.
    :raises ValueError: for another shape or unit.
    """

    values: npt.NDArray[Any]
    unit_m: float

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or 0 in self.values.shape:
            raise ValueError(f'values: expected (H, W), got {self.values.shape}')
        if not 0.0 < self.unit_m < math.inf:
            raise ValueError(f'unit_m: expected > 0, got {self.unit_m}')

    def fits(self, size_px: tuple[int, int]) -> bool:
        """Tell whether an image of this width and height can show the same view."""
        height, width = self.values.shape
        scale_x, scale_y = width / size_px[0], height / size_px[1]
        return abs(scale_x / scale_y - 1.0) < 0.02

    def distance_m(
        self,
        xy_px: Array,
        radius_px: float,
        size_px: tuple[int, int],
        settings: DistanceSettings,
    ) -> float:
        """
        Measure along the optical axis at a point of the colour image.

        The median of those samples of a square patch that belong to its foreground: edges of a
        body lie between it and the background.

        :param xy_px: (2,) pixels of the colour image.
        :param radius_px: half the patch's side, in its pixels.
        :param size_px: its width and height.
        :param settings: limits.
        :returns: z [m]; NaN when too little of the patch was measured.
        """
        height, width = self.values.shape
        scale = width / size_px[0]
        # resizing keeps the image's corners, half a pixel outside of pixel centres
        x, y = ((float(value) + 0.5) * scale - 0.5 for value in xy_px)
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):  # also false for NaN
            return math.nan
        radius = max(radius_px * scale, 1.0)
        rows = slice(max(round(y - radius), 0), round(y + radius) + 1)
        columns = slice(max(round(x - radius), 0), round(x + radius) + 1)
        samples = self.values[rows, columns].astype(np.float64).ravel() * self.unit_m
        valid = samples[(samples >= settings.min_depth_m) & (samples <= settings.max_depth_m)]
        if valid.size < max(_MIN_SAMPLES, settings.min_valid_ratio * samples.size):
            return math.nan
        front = float(np.percentile(valid, _FOREGROUND_PERCENTILE))
        return float(np.median(valid[valid <= front + settings.foreground_m]))


def eyes_middle(
    left_ray: Array,
    right_ray: Array,
    settings: DistanceSettings,
    to_left: Array | None = None,
) -> Array:
    """
    Place the middle of the eyes where they appear as far apart as they do.

    The triangle of the camera and the eyes is known by its angle at the camera, by the side
    between the eyes, and by that side's direction (law of sines; exact for any perspective).

    :param left_ray: (3,) direction to the person's left eye; any length.
    :param right_ray: (3,) direction to the right eye.
    :param settings: the distance of the eyes, and how far the head may be turned.
    :param to_left: (3,) direction from the right to the left eye; None: it is taken to be square
        to the line of sight, which measures too far when the head is turned or the person sits
        beside the optical axis.
    :returns: (3,) in the optical frame [m]; NaN when it cannot be measured.
    """
    unknown = np.full(3, math.nan)
    left, right = left_ray / np.linalg.norm(left_ray), right_ray / np.linalg.norm(right_ray)
    between = left - right
    chord = float(np.linalg.norm(between))
    if not 0.0 < chord < 1.0:  # also false for NaN
        return unknown
    angle = 2.0 * math.asin(0.5 * chord)
    if to_left is None:
        distance_m = 0.5 * settings.eye_distance_m / math.tan(0.5 * angle)
        middle = left + right
        return np.asarray(middle / np.linalg.norm(middle) * distance_m)
    line = to_left / np.linalg.norm(to_left)
    if not float(line @ between) / chord > math.cos(settings.max_turn_rad):
        return unknown
    # angles of the triangle at the eyes
    at_right = math.acos(min(max(-float(right @ line), -1.0), 1.0))
    at_left = math.acos(min(max(float(left @ line), -1.0), 1.0))
    per_sine = settings.eye_distance_m / math.sin(angle)
    middle = 0.5 * per_sine * (math.sin(at_right) * left + math.sin(at_left) * right)
    return np.asarray(middle)


def lift(
    depth: DepthImage,
    xy_px: Array,
    rays: Array,
    radius_px: float,
    size_px: tuple[int, int],
    settings: DistanceSettings,
) -> Array:
    """
    Place points on the surface that a depth image shows.

    :param depth: registered to the colour image.
    :param xy_px: (N, 2) pixels of the colour image; NaN: none.
    :param rays: (N, 2) x / z and y / z of their rays in the optical frame.
    :param radius_px: half the side of the patches.
    :param size_px: width and height of the colour image.
    :param settings: limits.
    :returns: (N, 3) in the optical frame [m]; NaN where nothing was measured.
    """
    z = np.array([depth.distance_m(xy, radius_px, size_px, settings) for xy in xy_px])
    return np.concatenate((rays, np.ones((len(rays), 1))), axis=1) * z[:, None]
