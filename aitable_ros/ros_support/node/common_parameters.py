# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters that every node has."""

from __future__ import annotations

from aitable_ros.ros_support.node.health import HealthLimits
from aitable_ros.ros_support.parameters.from_settings import settings_parameters
from aitable_ros.ros_support.parameters.table import ParameterSpec

COMMON_PARAMETERS = (
    ParameterSpec(
        'autostart',
        True,
        'configure and activate the node by itself as soon as it is spun',
        read_only=True,
    ),
    *settings_parameters({'diagnostics': HealthLimits}),
)
