# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the attention node, and what they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aitable_ros.perception.alerts.policy import (
    AlertSettings,
    AsleepSettings,
    LookingAwaySettings,
    PoorPostureSettings,
    SittingLongSettings,
    StepSettings,
    TiredSettings,
    UnseenSettings,
)
from aitable_ros.perception.attention.eye_direction import AnchorSettings, EyeSettings
from aitable_ros.perception.attention.gaze import GazeSettings
from aitable_ros.perception.attention.monitor import MonitorSettings, WindowSettings
from aitable_ros.perception.attention.natural_direction import NaturalSettings
from aitable_ros.perception.attention.observer import AttentionSettings, LookSettings
from aitable_ros.perception.attention.presence import PresenceSettings
from aitable_ros.perception.attention.zones import ZoneSettings
from aitable_ros.perception.maths.settings import Settings
from aitable_ros.ros_support.parameters.from_settings import settings_from, settings_parameters
from aitable_ros.ros_support.parameters.table import ParameterSpec

ATTENTION: Mapping[str, type[Settings]] = {
    'gaze': GazeSettings,
    'eye': EyeSettings,
    'anchor': AnchorSettings,
    'zones': ZoneSettings,
    'natural': NaturalSettings,
    'window': WindowSettings,
    'looks': LookSettings,
    'presence': PresenceSettings,
}
"""Parameter groups of where people look, and what they set."""

ALERTS: Mapping[str, type[Settings]] = {
    'step': StepSettings,
    'asleep': AsleepSettings,
    'tired': TiredSettings,
    'looking_away': LookingAwaySettings,
    'unseen': UnseenSettings,
    'poor_posture': PoorPostureSettings,
    'sitting_long': SittingLongSettings,
}
"""Parameter groups of the policy of alerts, and what they set."""

ATTENTION_PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        'publish_tf',
        True,
        'broadcast the gazes as TF frames gaze_<id>',
        dynamic=True,
    ),
    *settings_parameters({**ATTENTION, **{f'alerts.{name}': c for name, c in ALERTS.items()}}),
)
"""What the attention node can be told."""


def attention_settings(values: Mapping[str, Any]) -> AttentionSettings:
    """
    Make the settings of where people look.

    :param values: all parameters by name.
    :raises ValueError: when they do not go together.
    """
    groups: dict[str, Any] = {
        name: settings_from(values, name, kind) for name, kind in ATTENTION.items()
    }
    return AttentionSettings(
        replace(groups['gaze'], eye=groups['eye'], anchor=groups['anchor']),
        MonitorSettings(groups['natural'], groups['zones'], groups['window']),
        groups['looks'],
        groups['presence'],
    )


def alert_settings(values: Mapping[str, Any]) -> AlertSettings:
    """
    Make the policy of alerts.

    :param values: all parameters by name.
    :raises ValueError: when they do not go together.
    """
    groups: dict[str, Any] = {
        name: settings_from(values, f'alerts.{name}', kind) for name, kind in ALERTS.items()
    }
    return AlertSettings(**groups)
