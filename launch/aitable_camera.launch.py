# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fragment: a source of images, for tables whose camera has no ROS driver."""

from __future__ import annotations

from launch import LaunchDescription

from aitable_ros.launching.actions import describe


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments (aitable_ros/launching/arguments.py) and start what they say."""
    return describe('aitable_camera.launch.py')
