# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Command lines that hold arguments for ROS among their own."""

from __future__ import annotations

from collections.abc import Sequence


def split_ros_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """
    Part a command line, as ROS does.

    :param argv: arguments, of which those between ``--ros-args`` and ``--`` (or the end) are
        ROS's.
    :returns: the others, and ROS's without these marks.
    """
    own: list[str] = []
    ros: list[str] = []
    into = own
    for argument in argv:
        if argument == '--ros-args':
            into = ros
        elif argument == '--' and into is ros:
            into = own
        else:
            into.append(argument)
    return own, ros
