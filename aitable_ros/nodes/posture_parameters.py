# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the posture node, and what they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aitable_ros.perception.maths.settings import Settings
from aitable_ros.perception.posture.body_source import BLAZEPOSE, NETWORKS
from aitable_ros.perception.posture.calibration import CalibrationSettings
from aitable_ros.perception.posture.distance import DistanceSettings
from aitable_ros.perception.posture.measure import MeasureSettings
from aitable_ros.perception.posture.monitor import (
    PostureSettings,
    SmoothingSettings,
    WindowSettings,
)
from aitable_ros.perception.posture.observer import PostureObserverSettings
from aitable_ros.perception.posture.rule import RuleSettings
from aitable_ros.perception.posture.stillness import StillnessSettings
from aitable_ros.ros_support.parameters.from_settings import settings_from, settings_parameters
from aitable_ros.ros_support.parameters.network_parameters import (
    BACKEND_PARAMETERS,
    IMAGE_PARAMETERS,
    backend_parameter,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec

MEASURING: Mapping[str, type[Settings]] = {
    'measure': MeasureSettings,
    'distance': DistanceSettings,
}
"""Parameter groups of what is measured in an image, and what they set."""

JUDGING: Mapping[str, type[Settings]] = {
    'smoothing': SmoothingSettings,
    'calibration': CalibrationSettings,
    'rules': RuleSettings,
    'stillness': StillnessSettings,
    'window': WindowSettings,
}
"""Parameter groups of what is made of it over time: the fields of PostureSettings."""

SETTINGS: Mapping[str, type[Settings]] = {**MEASURING, **JUDGING}


POSTURE_PARAMETERS: tuple[ParameterSpec, ...] = (
    *IMAGE_PARAMETERS,
    ParameterSpec(
        'network',
        BLAZEPOSE,
        'what finds the body: BlazePose (33 keypoints, three dimensions), or a YOLO-pose file '
        'of your own (17 keypoints, two dimensions)',
        choices=NETWORKS,
    ),
    ParameterSpec(
        'model',
        '',
        'network yolo: the .engine or .onnx file; empty: yolo_pose.engine or yolo_pose.onnx '
        'in the engines folder',
        no_file='',
    ),
    backend_parameter('the body network'),
    *BACKEND_PARAMETERS,
    ParameterSpec(
        'max_rate',
        10.0,
        'images per second that the network is run on; 0: all [Hz]',
        (0.0, 1000.0),
        dynamic=True,
        basic=True,
    ),
    ParameterSpec(
        'use_faces',
        True,
        'take id and head from the face that goes with the body',
    ),
    ParameterSpec(
        'use_depth',
        False,
        'take distances from depth/image_raw, registered to the colour image (16UC1 or 32FC1)',
        basic=True,
    ),
    ParameterSpec(
        'depth_tolerance',
        0.05,
        'how far the stamps of a depth image and of the image may lie apart [s]',
        (0.0, 1.0),
        dynamic=True,
    ),
    ParameterSpec(
        'rectified',
        False,
        'the images are rectified: CameraInfo.P counts, not K and D',
        dynamic=True,
        basic=True,
    ),
    ParameterSpec(
        'desk_frame',
        '',
        'TF frame whose z axis points up and is 0 on the desk; empty: the parameters camera_* '
        'tell how the camera stands',
        basic=True,
    ),
    ParameterSpec(
        'camera_height',
        0.0,
        'height of the camera above the desk; 0: unknown, the distance of the eyes to the '
        'desk is not measured [m]',
        (0.0, 5.0),
        dynamic=True,
        basic=True,
    ),
    ParameterSpec(
        'camera_pitch',
        0.0,
        'how far the camera looks down; up is negative [rad]',
        (-1.4, 1.4),
        dynamic=True,
        basic=True,
    ),
    ParameterSpec(
        'camera_roll',
        0.0,
        'how far the camera is tilted to its own right, clockwise seen from behind [rad]',
        (-1.6, 1.6),
        dynamic=True,
    ),
    ParameterSpec(
        'auto_calibrate',
        True,
        'learn the upright posture from the first seconds of steady, level sitting; service '
        '~/calibrate learns it anew',
        dynamic=True,
    ),
    *settings_parameters(SETTINGS),
)
"""What the posture node can be told."""


def posture_settings(values: Mapping[str, Any]) -> PostureObserverSettings:
    """
    Make the settings that the parameters describe.

    :param values: all parameters by name.
    :raises ValueError: when they do not go together.
    """
    groups: dict[str, Any] = {
        prefix: settings_from(values, prefix, settings_class)
        for prefix, settings_class in SETTINGS.items()
    }
    measuring = {prefix: groups.pop(prefix) for prefix in MEASURING}
    posture = PostureSettings(**groups, auto_calibrate=values['auto_calibrate'])
    return PostureObserverSettings(**measuring, posture=posture, max_rate_hz=values['max_rate'])
