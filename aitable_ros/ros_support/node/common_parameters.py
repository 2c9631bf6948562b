# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters that every node has."""

from __future__ import annotations

from aitable_ros.ros_support.node.health import HealthLimits
from aitable_ros.ros_support.parameters.table import ParameterSpec

COMMON_PARAMETERS = (
    ParameterSpec(
        'autostart',
        True,
        'configure and activate the node by itself as soon as it is spun',
        read_only=True,
    ),
    ParameterSpec(
        'diagnostics.warn_latency',
        HealthLimits.warn_latency_s,
        'diagnostics: the median age of the images when their results are published is a warning '
        'above this [s]',
        (0.0, 3600.0),
        dynamic=True,
    ),
    ParameterSpec(
        'diagnostics.error_latency',
        HealthLimits.error_latency_s,
        'diagnostics: and an error above this [s]',
        (0.0, 3600.0),
        dynamic=True,
    ),
    ParameterSpec(
        'diagnostics.min_rate',
        HealthLimits.min_rate_hz,
        'diagnostics: input below this rate is a warning; 0: any rate will do [Hz]',
        (0.0, 1000.0),
        dynamic=True,
    ),
    ParameterSpec(
        'diagnostics.max_overtaken_share',
        HealthLimits.max_overtaken_share,
        'diagnostics: it is a warning when a larger share of the inputs of the last 5 s was '
        'overtaken by newer ones',
        (0.0, 1.0),
        dynamic=True,
    ),
    ParameterSpec(
        'diagnostics.stale_after',
        HealthLimits.stale_after_s,
        'diagnostics: no input for this long is a warning [s]',
        (0.0, 3600.0),
        dynamic=True,
    ),
)
