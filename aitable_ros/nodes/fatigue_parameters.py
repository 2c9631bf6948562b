# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the fatigue node, and what they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aitable_ros.perception.fatigue.blinks import BlinkSettings
from aitable_ros.perception.fatigue.eye_baseline import (
    UNREFINED_CLOSED_RATIO,
    BaselineSettings,
)
from aitable_ros.perception.fatigue.level import LevelSettings
from aitable_ros.perception.fatigue.monitor import FatigueSettings
from aitable_ros.perception.fatigue.nods import NodSettings
from aitable_ros.perception.fatigue.observer import FatigueObserverSettings
from aitable_ros.perception.fatigue.perclos import PerclosSettings
from aitable_ros.perception.fatigue.visibility import VisibilitySettings
from aitable_ros.perception.fatigue.yawns import YawnSettings
from aitable_ros.perception.head.head_pose import HeadPoseSettings
from aitable_ros.perception.maths.settings import Settings
from aitable_ros.ros_support.parameters.from_settings import settings_from, settings_parameters
from aitable_ros.ros_support.parameters.table import ParameterSpec

SETTINGS: Mapping[str, type[Settings]] = {
    'visibility': VisibilitySettings,
    'baseline': BaselineSettings,
    'blinks': BlinkSettings,
    'perclos': PerclosSettings,
    'yawns': YawnSettings,
    'nods': NodSettings,
    'level': LevelSettings,
    'head_pose': HeadPoseSettings,
}
"""Parameter groups and what they set."""

WITH_GAPS = ('baseline', 'blinks', 'perclos', 'yawns', 'nods', 'head_pose')
"""The groups whose ``max_gap_s`` is the parameter ``max_gap``."""

CHECKED = {*SETTINGS, 'max_gap', 'unrefined_closed_ratio'}
"""Groups and parameters that have to go together."""

RETIRED = ('refine_eyes', 'backend', 'engines_dir', 'models_file', 'threads')
"""What the node took when it had a network of its own; face_detection has these parameters."""

FATIGUE_PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        'publish_tf',
        True,
        'broadcast the head poses as TF frames face_<id>',
        dynamic=True,
        basic=True,
    ),
    ParameterSpec(
        'rectified',
        False,
        'the images are rectified: CameraInfo.P counts, not K and D',
        dynamic=True,
        basic=True,
    ),
    ParameterSpec(
        'forget_after',
        30.0,
        'a face that was not seen for this long loses its state [s]',
        (0.0, 3600.0),
        dynamic=True,
    ),
    ParameterSpec(
        'max_gap',
        0.5,
        'longest time for which one sample may stand; longer gaps are UNKNOWN [s] (0.5: two '
        'to three frames at 5 Hz)',
        (0.05, 5.0),
    ),
    ParameterSpec(
        'unrefined_closed_ratio',
        UNREFINED_CLOSED_RATIO,
        'replaces baseline.closed_ratio where the eyes are not refined (0.62: median of '
        'photographs, FaceMesh)',
        (0.0, 0.9),
    ),
    *settings_parameters(SETTINGS, skip=('max_gap_s',)),
)
"""What the fatigue node can be told."""


def fatigue_settings(values: Mapping[str, Any]) -> FatigueObserverSettings:
    """
    Make the settings that the parameters describe.

    :param values: all parameters by name.
    :raises ValueError: when they do not go together.
    """
    groups: dict[str, Any] = {
        prefix: settings_from(
            values,
            prefix,
            settings_class,
            **({'max_gap_s': values['max_gap']} if prefix in WITH_GAPS else {}),
        )
        for prefix, settings_class in SETTINGS.items()
    }
    head = groups.pop('head_pose')
    return FatigueObserverSettings(
        FatigueSettings(**groups),
        head,
        unrefined_closed_ratio=values['unrefined_closed_ratio'],
        forget_after_s=values['forget_after'],
    )
