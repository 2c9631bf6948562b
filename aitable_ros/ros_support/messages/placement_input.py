# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How the camera stands above the desk: by TF, or by parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node

from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.ros_support.messages.static_transforms import StaticTransforms
from aitable_ros.ros_support.process.seldom import SeldomLog


class PlacementInput:
    """Listens to ``/tf_static`` for the desk's frame; the node's log tells of faults."""

    def __init__(self, node: Node) -> None:
        self._log = SeldomLog(node.get_logger)
        self._transforms = StaticTransforms(node)
        self.problem = ''
        """Why the desk's frame is not used; empty: it is, or none is named."""

    def follow(self, desk_frame: str) -> None:
        """Subscribe where a frame is named, or unsubscribe; in the executor's thread."""
        self._transforms.follow(bool(desk_frame))

    def of(self, camera_frame: str, values: Mapping[str, Any]) -> CameraPlacement:
        """Tell how the camera with this frame stands; ``values`` are the node's parameters."""
        problem, placement = '', None
        desk_frame = values['desk_frame']
        if desk_frame:
            transform = self._transforms.lookup(desk_frame, camera_frame)
            if transform is None:
                why = self._transforms.problem or f'no static transform from {camera_frame!r}'
                problem = f'desk_frame {desk_frame!r} is not used: {why}'
            else:
                try:
                    placement = CameraPlacement.from_transform(*transform)
                except ValueError as error:
                    problem = f'desk_frame {desk_frame!r} is not used: {error}'
        if problem and problem != self.problem:
            self._log.warn('desk_frame', problem)
        self.problem = problem
        if placement is not None:
            return placement
        height_m = values['camera_height']
        pitch_rad, roll_rad = values['camera_pitch'], values['camera_roll']
        if not (height_m or pitch_rad or roll_rad):
            return CameraPlacement()
        return CameraPlacement.from_angles(pitch_rad, roll_rad, height_m or math.nan)
