# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fixture ``graph``: a ROS context of its own for every test."""

from ros_fixtures import graph

__all__ = ['graph']
