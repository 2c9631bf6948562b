# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Play a bag to the nodes, look at the results, record them; or process it offline."""

from __future__ import annotations

from launch import LaunchDescription

from aitable_ros.launching.actions import describe
from aitable_ros.launching.replaying import start_replay


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments (aitable_ros/launching/arguments.py) and start what they say."""
    return describe('replay.launch.py', start_replay)
