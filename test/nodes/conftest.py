# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fixture ``graph``: a ROS context of its own for every test; nodes report often."""

from ros_fixtures import graph, quick_diagnostics

__all__ = ['graph', 'quick_diagnostics']
