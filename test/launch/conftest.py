# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the launch tests; test/launch_fixtures.py says how to run them."""

from launch_fixtures import launched, ros2, started
from ros_fixtures import graph

__all__ = ['graph', 'launched', 'ros2', 'started']
