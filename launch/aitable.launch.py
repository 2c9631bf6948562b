# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Start aitable: face detection, emotion, fatigue, overlay, and a source of images if wanted."""

from __future__ import annotations

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

from aitable_ros.paths import share_dir
from aitable_ros.ros_support.transport import transport_settings

NODES = ('face_detection', 'emotion', 'fatigue', 'overlay')
NETWORK_NODES = ('face_detection', 'fatigue')
IMAGE_NODES = ('face_detection', 'fatigue', 'overlay', 'image_source')


def declare_arguments() -> list[LaunchDescriptionEntity]:
    """Declare the launch arguments; ``ros2 launch … -s`` lists them."""
    return [
        DeclareLaunchArgument(
            'backend',
            default_value='auto',
            choices=['auto', 'tensorrt', 'litert', 'onnxruntime'],
            description='what runs the networks; auto takes the first of config/models.yaml that '
            'loads',
        ),
        DeclareLaunchArgument(
            'image_topic',
            default_value='image_raw',
            description='topic of the camera images (sensor_msgs/Image; its /compressed sibling '
            'with image_transport:=compressed)',
        ),
        DeclareLaunchArgument(
            'camera_info_topic',
            default_value='',
            description="topic of the camera's calibration (sensor_msgs/CameraInfo); empty: "
            'camera_info beside the image topic',
        ),
        DeclareLaunchArgument(
            'image_transport',
            default_value='raw',
            choices=['raw', 'compressed'],
            description='how the images are subscribed to',
        ),
        DeclareLaunchArgument(
            'source',
            default_value='none',
            description="where images come from: 'none' (a camera driver publishes them), "
            "'sample' (built in), a camera index, a video file, a picture or a folder of pictures",
        ),
        DeclareLaunchArgument(
            'params_file',
            default_value=str(share_dir() / 'config' / 'aitable.yaml'),
            description='YAML file with the parameters of all nodes',
        ),
        DeclareLaunchArgument(
            'composed',
            default_value='true',
            choices=['true', 'false'],
            description='all nodes in one process, sharing frames, or each in its own',
        ),
        DeclareLaunchArgument(
            'namespace', default_value='', description='namespace of all nodes and topics'
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='what the nodes log',
        ),
    ]


def start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions that start the nodes, for the arguments as given."""
    value = {
        name: LaunchConfiguration(name).perform(context)
        for name in (
            'backend',
            'image_topic',
            'camera_info_topic',
            'image_transport',
            'source',
            'params_file',
            'composed',
            'namespace',
            'log_level',
        )
    }
    names = list(NODES)
    if value['source'] != 'none':
        names.insert(0, 'image_source')

    def overrides(name: str) -> dict[str, object]:
        # arguments that were left alone leave the word to the parameter file
        chosen: dict[str, object] = {}
        if name in NETWORK_NODES and value['backend'] != 'auto':
            chosen['backend'] = value['backend']
        if name in IMAGE_NODES and value['image_transport'] != 'raw':
            chosen['image_transport'] = value['image_transport']
        if name == 'image_source':
            # a camera index is a string all the same
            chosen['source'] = ParameterValue(value['source'], value_type=str)
        return chosen

    common = {
        'package': 'aitable_ros',
        'namespace': value['namespace'],
        'output': 'screen',
        'remappings': [
            ('image_raw', value['image_topic']),
            ('camera_info', value['camera_info_topic'] or _beside(value['image_topic'])),
        ],
        'ros_arguments': ['--log-level', value['log_level']],
    }
    parameters = [ParameterFile(value['params_file'], allow_substs=True)]
    if value['composed'] == 'false':
        return [
            Node(
                executable=name,
                name=name,
                parameters=[*parameters, overrides(name)],
                **common,
            )
            for name in names
        ]
    arguments = [
        argument
        for name in names
        for key, chosen in overrides(name).items()
        for argument in ('-p', f'{name}:{key}:={_as_yaml(chosen)}')
    ]
    return [
        Node(
            executable='component_container',
            name='aitable_container',
            parameters=[*parameters, {'components': names}],
            **{**common, 'ros_arguments': [*common['ros_arguments'], *arguments]},
        )
    ]


def _beside(image_topic: str) -> str:
    namespace, slash, _ = image_topic.rpartition('/')
    return f'{namespace}{slash}camera_info'


def _as_yaml(chosen: object) -> str:
    text = str(chosen.value if isinstance(chosen, ParameterValue) else chosen)
    # quoted, so that a camera index stays a string
    return "'" + text.replace("'", "''") + "'"


def generate_launch_description() -> LaunchDescription:
    """Describe the whole system."""
    return LaunchDescription(
        [
            *declare_arguments(),
            *(
                SetEnvironmentVariable(name, text)
                for name, text in transport_settings(dict(os.environ)).items()
            ),
            OpaqueFunction(function=start_nodes),
        ]
    )
