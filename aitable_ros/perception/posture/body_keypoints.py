# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Body keypoints as all body networks give them: MediaPipe's 33, NaN where one has none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

KEYPOINT_COUNT = 33


class BodyKeypoint(IntEnum):
    """
    Index of a keypoint; left and right are the person's own.

    The numbering of MediaPipe Pose (BlazePose GHUM model card, 2021).
    """

    NOSE = 0
    LEFT_EYE_INNER = 1
    LEFT_EYE = 2
    LEFT_EYE_OUTER = 3
    RIGHT_EYE_INNER = 4
    RIGHT_EYE = 5
    RIGHT_EYE_OUTER = 6
    LEFT_EAR = 7
    RIGHT_EAR = 8
    MOUTH_LEFT = 9
    MOUTH_RIGHT = 10
    LEFT_SHOULDER = 11
    RIGHT_SHOULDER = 12
    LEFT_ELBOW = 13
    RIGHT_ELBOW = 14
    LEFT_WRIST = 15
    RIGHT_WRIST = 16
    LEFT_PINKY = 17
    RIGHT_PINKY = 18
    LEFT_INDEX = 19
    RIGHT_INDEX = 20
    LEFT_THUMB = 21
    RIGHT_THUMB = 22
    LEFT_HIP = 23
    RIGHT_HIP = 24
    LEFT_KNEE = 25
    RIGHT_KNEE = 26
    LEFT_ANKLE = 27
    RIGHT_ANKLE = 28
    LEFT_HEEL = 29
    RIGHT_HEEL = 30
    LEFT_FOOT_INDEX = 31
    RIGHT_FOOT_INDEX = 32


@dataclass(frozen=True, eq=False)
class BodyKeypoints:
    """
    One person's keypoints in one image.

    :param xy_px: (33, 2) float32, pixels of the image, x right, y down; NaN: the network does
        not give this one.
    :param visibility: (33,) float32, probability that the point is in the image and not hidden,
        0..1; 0 where ``xy_px`` is NaN.
    :param score: how sure the network is that there is a person, 0..1.
    :param world_m: (33, 3) float32 in metres, x to the right of the image, y down, z away from
        the camera, origin between the hips (MediaPipe's world landmarks); None where the network
        gives no third dimension.
    :raises ValueError: for other shapes.
    """

    xy_px: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.float32]
    score: float
    world_m: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.xy_px.shape != (KEYPOINT_COUNT, 2):
            raise ValueError(f'xy_px: expected (33, 2), got {self.xy_px.shape}')
        if self.visibility.shape != (KEYPOINT_COUNT,):
            raise ValueError(f'visibility: expected (33,), got {self.visibility.shape}')
        if self.world_m is not None and self.world_m.shape != (KEYPOINT_COUNT, 3):
            raise ValueError(f'world_m: expected (33, 3), got {self.world_m.shape}')
