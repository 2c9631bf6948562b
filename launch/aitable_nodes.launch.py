# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fragment: the nodes that watch the person, without source of images, overlay and rviz2."""

from __future__ import annotations

from launch import LaunchDescription

from aitable_ros.launching.actions import describe


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments (aitable_ros/launching/arguments.py) and start what they say."""
    return describe('aitable_nodes.launch.py')
