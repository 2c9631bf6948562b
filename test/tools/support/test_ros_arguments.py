# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is said to ROS in a command line, and what to the tool."""

from __future__ import annotations

from aitable_ros.tools.support.ros_arguments import split_ros_arguments


def test_ros_arguments_are_parted_as_ros_does() -> None:
    argv = ['a', '--ros-args', '-r', 'x:=y', '--', 'b', '--ros-args', '-p', 'z:=1']
    assert split_ros_arguments(argv) == (['a', 'b'], ['-r', 'x:=y', '-p', 'z:=1'])
    assert split_ros_arguments(['a', '--', 'b']) == (['a', '--', 'b'], [])
