# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The arguments of every launch file, as a table.

Importing this module needs no launch: the tables of the documentation are made from it on any
machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aitable_ros.inference.selection import AUTO, BACKENDS
from aitable_ros.nodes.registry import CAMERA, CONTAINERS, NODES, WITH_NETWORKS
from aitable_ros.paths import share_dir
from aitable_ros.perception.emotion.readings import READINGS
from aitable_ros.visualization.overlay.privacy_modes import PRIVACY

SWITCH = ('true', 'false')
LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
NONE = 'none'
"""No source, or no parameter file; ``ros2 launch`` refuses empty values on its command line."""

_NAME = re.compile(r'(~?/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)


@dataclass(frozen=True)
class LaunchArgument:
    """
    One argument of a launch file.

    :param name: its name, as in ``name:=value``.
    :param description: what it does, in one sentence without a full stop.
    :param default: value when it is not given; None: it has to be given.
    :param choices: the allowed values; empty: any.
    :param in_share: the default is a path below the package's share folder.
    :param kind: what else a value has to be: '' (anything), 'name' (a ROS name, or empty),
        'namespace' (the same, or /), 'rate' (a number above 0), 'seconds' (a number from 0 on).
    """

    name: str
    description: str
    default: str | None
    choices: tuple[str, ...] = ()
    in_share: bool = False
    kind: str = ''

    @property
    def default_value(self) -> str | None:
        """The default, with the path of the share folder where it is one."""
        if self.in_share and self.default:
            return str(share_dir() / self.default)
        return self.default

    def problem_with(self, value: str) -> str | None:
        """Say why a value, without blanks at its ends, is refused; None when it is fine."""
        if self.choices and value not in self.choices:
            return f'{self.name}: {value!r} is not one of {", ".join(map(repr, self.choices))}'
        is_root = self.kind == 'namespace' and value == '/'
        is_name = not value or is_root or _NAME.fullmatch(value)
        if self.kind in ('name', 'namespace') and not is_name:
            return f'{self.name}: {value!r} is no ROS name (letters, digits, _ and /)'
        if self.kind in ('rate', 'seconds'):
            try:
                number = float(value)
            except ValueError:
                return f'{self.name}: {value!r} is no number'
            if not 0 <= number < math.inf or (number == 0 and self.kind == 'rate'):
                wanted = 'above 0' if self.kind == 'rate' else 'of 0 or more'
                return f'{self.name}: {value} is no number {wanted}'
        return None


def _switch(name: str, description: str, default: str = 'true') -> LaunchArgument:
    return LaunchArgument(name, description, default, SWITCH)


def _backend(node: str) -> LaunchArgument:
    return LaunchArgument(
        f'{node}_backend',
        f'what runs the network of {node}; empty: as backend says',
        '',
        ('', AUTO, *BACKENDS),
    )


_ARGUMENTS = {
    argument.name: argument
    for argument in (
        LaunchArgument(
            'source',
            "where images come from: 'none' (a camera driver publishes them), 'sample' (built "
            'in), a camera index, a video file, a picture or a folder of pictures',
            NONE,
        ),
        LaunchArgument(
            'image_topic',
            'topic of the camera images (sensor_msgs/Image; its /compressed sibling with '
            'image_transport:=compressed)',
            'image_raw',
            kind='name',
        ),
        LaunchArgument(
            'camera_info_topic',
            "topic of the camera's calibration (sensor_msgs/CameraInfo); empty: camera_info "
            'beside the image topic',
            '',
            kind='name',
        ),
        LaunchArgument(
            'image_transport',
            'how images are subscribed to, and published by source; empty: as params_file says',
            '',
            ('', 'raw', 'compressed'),
        ),
        LaunchArgument(
            'backend',
            'what runs the networks: auto is the first of config/models.yaml that loads, any '
            'other that one or an error; empty: as params_file says',
            '',
            ('', AUTO, *BACKENDS),
        ),
        *map(_backend, WITH_NETWORKS),
        LaunchArgument(
            'emotion_reading',
            'what reads expressions; auto: the first that loads; empty: as params_file says',
            '',
            ('', AUTO, *READINGS),
        ),
        *(
            _switch(node.argument, f'start {node.name}{node.remark}', str(node.by_default).lower())
            for node in NODES.values()
        ),
        LaunchArgument(
            'web_host',
            'address that the page is served on: 0.0.0.0 is the whole network, and needs the '
            'token that the terminal shows; empty: as params_file says, else this machine only',
            '',
        ),
        LaunchArgument(
            'web_privacy',
            'what the pictures of the page show; empty: as params_file says, else mesh',
            '',
            ('', *PRIVACY),
        ),
        LaunchArgument(
            'publish_images',
            'false: no topic of these nodes carries images; a source gives them to the nodes of '
            'its process only; empty: as params_file says, else true',
            '',
            ('', *SWITCH),
        ),
        _switch(
            'composed', 'all nodes in one process, which shares each image, or each in its own'
        ),
        LaunchArgument(
            'container',
            'name of a running container to load the nodes into (see `ros2 component list`); '
            'empty: start one for them',
            '',
            kind='name',
        ),
        LaunchArgument(
            'container_threads',
            'whether the container that is started answers from one thread or from several',
            'single',
            tuple(CONTAINERS),
        ),
        _switch('respawn', 'start a process again when it has ended by itself', 'false'),
        LaunchArgument(
            'params_file',
            "YAML file with the nodes' parameters, or several with commas between them, of which "
            'the last counts; none: they keep their own defaults',
            'config/aitable.yaml',
            in_share=True,
        ),
        LaunchArgument('namespace', 'namespace of all nodes and topics', '', kind='namespace'),
        LaunchArgument(
            'use_sim_time',
            'take the time from /clock, as when a bag is replayed; empty: as params_file says',
            '',
            ('', *SWITCH),
        ),
        LaunchArgument(
            'network',
            "who finds what is started: 'local', this machine alone; empty: as the environment "
            'says, which without ROS_AUTOMATIC_DISCOVERY_RANGE means every network',
            '',
            ('', 'local'),
        ),
        LaunchArgument('log_level', 'what the processes that are started log', 'info', LOG_LEVELS),
        _switch('rviz', 'start rviz2', 'false'),
        LaunchArgument(
            'rviz_config', "rviz2's configuration file", 'config/aitable.rviz', in_share=True
        ),
        LaunchArgument('bag', 'the bag: an .mcap or .db3 file, or a folder of them', None),
        LaunchArgument(
            'rate', 'how fast it is played, as a multiple of real time', '1.0', kind='rate'
        ),
        _switch('loop', 'play it again and again', 'false'),
        LaunchArgument(
            'player',
            "what plays it: aitable's `replay`, which needs no rosbag2, or `ros2 bag play`",
            'replay',
            ('replay', 'rosbag2'),
        ),
        _switch(
            'offline',
            'run `process_bag` instead of playing it: every frame, as fast as it goes, the same '
            'results each time; needs record',
            'false',
        ),
        LaunchArgument(
            'record',
            'bag to write the results to (played: needs `ros2 bag record`); empty: none',
            '',
        ),
        _switch('end_with_bag', 'end everything when the bag has ended'),
        LaunchArgument(
            'linger',
            'how long to go on after the bag has ended, for the last results [s]',
            '2.0',
            kind='seconds',
        ),
    )
}

_PIPELINE = (
    'image_topic',
    'camera_info_topic',
    'image_transport',
    'backend',
    *(f'{name}_backend' for name in WITH_NETWORKS),
    'emotion_reading',
    *(name for name in NODES if name not in ('overlay', 'web_monitor', CAMERA)),
    'publish_images',
)
_SHOWING = ('overlay', 'web', 'web_host', 'web_privacy')
_PROCESSES = ('composed', 'container', 'container_threads', 'respawn')
_COMMON = ('params_file', 'namespace', 'use_sim_time', 'network', 'log_level')
_RVIZ = ('rviz', 'rviz_config')


def _pick(*names: str, **changes: Mapping[str, Any]) -> tuple[LaunchArgument, ...]:
    return tuple(replace(_ARGUMENTS[name], **changes.get(name, {})) for name in names)


_JOIN = {
    'description': 'name of a running container to load the node into (see `ros2 component '
    'list`); empty: a process of its own'
}

LAUNCH_FILES = {
    'aitable.launch.py': _pick('source', *_PIPELINE, *_SHOWING, *_PROCESSES, *_COMMON, *_RVIZ),
    'aitable_nodes.launch.py': _pick(*_PIPELINE, *_PROCESSES, *_COMMON),
    'aitable_camera.launch.py': _pick(
        'source',
        'image_topic',
        'image_transport',
        'container',
        'respawn',
        *_COMMON,
        source={
            'default': '0',
            'description': "where images come from: a camera index, 'sample' (built in), a "
            'video file, a picture or a folder of pictures',
        },
        image_transport={
            'description': 'which topics to publish; empty: as params_file says',
            'choices': ('', 'raw', 'compressed', 'both'),
        },
        container=_JOIN,
    ),
    'aitable_visualization.launch.py': _pick(
        *_SHOWING,
        'publish_images',
        'image_topic',
        'camera_info_topic',
        'image_transport',
        'container',
        'respawn',
        *_COMMON,
        *_RVIZ,
        container=_JOIN,
    ),
    'replay.launch.py': _pick(
        'bag',
        'rate',
        'loop',
        'player',
        'offline',
        'record',
        'end_with_bag',
        'linger',
        *_PIPELINE,
        *_SHOWING,
        'composed',
        'container_threads',
        *_COMMON,
        *_RVIZ,
        use_sim_time={'default': 'true'},
        image_topic={
            'default': '',
            'description': "topic of the images in the bag; empty: the bag's only one, or "
            'image_raw',
        },
        image_transport={
            'description': 'which images of the bag are taken; empty: raw ones where there are any'
        },
    ),
}
"""The arguments of every launch file, in the order in which they are listed."""


def checked(file: str, given: Mapping[str, str]) -> dict[str, str]:
    """
    Check the values of a launch file's arguments.

    :returns: the values, without blanks at their ends; ``params_file`` empty where it is none.
    :raises ValueError: naming every argument with a wrong value, and why it is wrong.
    """
    arguments = LAUNCH_FILES[file]
    values = {argument.name: given[argument.name].strip() for argument in arguments}
    problems = [p for argument in arguments if (p := argument.problem_with(values[argument.name]))]
    if values.get('container') and values.get('composed') == 'false':
        problems.append('container: nodes in a container are composed; leave composed out')
    has_source = values.get('source', NONE) != NONE
    if (
        values.get('publish_images') == 'false'
        and has_source
        and values.get('composed') == 'false'
    ):
        problems.append(
            'publish_images: without it a source reaches the nodes of its process only'
        )
    if problems:
        raise ValueError('; '.join(problems))
    if values.get('params_file') == NONE:
        values['params_file'] = ''
    return values
