# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The camera's calibration as it is published beside the images, checked."""

from __future__ import annotations

from typing import Any

from aitable_ros.perception.head.camera import Camera, CameraIntrinsics


class Calibration:
    """
    What is known of the camera.

    :param rectified: the images are rectified: P counts, not K and D.
    """

    def __init__(self, *, rectified: bool = False) -> None:
        self.rectified = rectified
        self.intrinsics: CameraIntrinsics | None = None
        """None: not calibrated."""
        self.problem = ''
        """Why what was given is not used; empty: it is, or there was nothing."""
        self._last: tuple[CameraIntrinsics | None, str] = (None, '')

    @property
    def description(self) -> str:
        """What is used, in words."""
        return self.problem or ('camera_info' if self.intrinsics else 'assumed field of view')

    def take(self, message: Any) -> None:
        """
        Take a calibration.

        :param message: a sensor_msgs/CameraInfo, or what has its fields.
        """
        intrinsics, problem = None, ''
        try:
            intrinsics = CameraIntrinsics.from_camera_info(message, rectified=self.rectified)
            if intrinsics is None:
                problem = 'camera_info is not calibrated: assumed field of view'
        except ValueError as error:
            problem = f'camera_info is not used: {error}'
        if (intrinsics, problem) == self._last:
            return
        self._last = intrinsics, problem
        self.intrinsics, self.problem = intrinsics, problem

    def for_size(self, size_px: tuple[int, int]) -> CameraIntrinsics | None:
        """
        Give the intrinsics for images of a size; those that do not go with it are used no more.

        :param size_px: width and height of the image.
        """
        intrinsics = self.intrinsics  # another thread may take others meanwhile
        if intrinsics is None or min(size_px) <= 0:
            return intrinsics
        try:
            Camera.from_intrinsics(intrinsics, size_px)
        except ValueError as error:
            self.intrinsics, self.problem = None, f'camera_info is not used: {error}'
            return None
        return intrinsics
