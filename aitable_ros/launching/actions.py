# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The launch actions that start nodes, for arguments as given."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import launch.logging
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import Action, Event, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnShutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LoadComposableNodes, Node
from launch_ros.descriptions import ComposableNode
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from aitable_ros.launching.arguments import LAUNCH_FILES, NONE, checked
from aitable_ros.launching.parameter_files import parameters_for
from aitable_ros.nodes.registry import CAMERA, CONTAINERS, NODES, PACKAGE, WITH_NETWORKS
from aitable_ros.ros_support.process.transport import local_settings, transport_settings

CONTAINER_NAME = 'aitable_container'
RESPAWN_DELAY_S = 2.0
WITH_IMAGE_TOPICS = ('overlay', 'hri', CAMERA)


def describe(file: str, start: Callable[[Setup], list[Action]] | None = None) -> LaunchDescription:
    """
    Describe a launch file: its arguments, which ``ros2 launch … -s`` lists, and what it starts.

    :param start: makes the actions; what is switched on is started where it is not given.
    """
    arguments = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default_value,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in LAUNCH_FILES[file]
    ]

    def actions(context: LaunchContext) -> list[Action]:
        setup = Setup.read(context, file)
        return start(setup) if start is not None else setup.start_all()

    return LaunchDescription([*arguments, OpaqueFunction(function=actions)])


@dataclass(frozen=True)
class Setup:
    """
    What to start, for one set of argument values.

    :param context: the launch context.
    :param values: the checked value of each argument of the launch file.
    """

    context: LaunchContext
    values: Mapping[str, str]

    @classmethod
    def read(cls, context: LaunchContext, file: str) -> Setup:
        """Read the arguments of a launch file; ValueError: which are wrong, and why."""
        names = [argument.name for argument in LAUNCH_FILES[file]]
        given = {name: LaunchConfiguration(name).perform(context) for name in names}
        setup = cls(context, checked(file, given))
        for path in setup.params_files:
            if not Path(path).is_file():
                raise ValueError(f'params_file: there is no file {path}')
        return setup

    @property
    def params_files(self) -> list[str]:
        """The parameter files; of a parameter that several name, the last counts."""
        return [path.strip() for path in filter(None, self.values['params_file'].split(','))]

    def enabled(self) -> list[str]:
        """Name the nodes that are switched on."""
        return [name for name, node in NODES.items() if self.values.get(node.argument) == 'true']

    @property
    def namespace(self) -> str:
        """The nodes' absolute namespace, also below one that an including file pushed."""
        pushed = self.context.launch_configurations.get('ros_namespace')
        combined = prefix_namespace(pushed, self.values['namespace'] or None)
        return str(make_namespace_absolute(combined or '/'))

    def full_name(self, name: str) -> str:
        """Resolve the name of a node or topic."""
        return name if name.startswith('/') else f'{self.namespace.rstrip("/")}/{name}'

    def result_topics(self) -> list[str]:
        """Name the topics on which the nodes that are switched on publish, resolved."""
        return [self.full_name(topic) for name in self.enabled() for topic in NODES[name].topics]

    @property
    def remappings(self) -> list[tuple[str, str]]:
        """Where the nodes' input topics are."""
        image_topic = self.values.get('image_topic', 'image_raw')
        info_topic = self.values.get('camera_info_topic') or beside(image_topic)
        return [('image_raw', image_topic), ('camera_info', info_topic)]

    def overrides(self, name: str) -> dict[str, Any]:
        """Give a node's parameters that arguments set; the others are as the files say."""
        chosen: dict[str, Any] = {}
        if name in WITH_NETWORKS:
            backend = self.values.get(f'{name}_backend') or self.values.get('backend')
            if backend:
                chosen['backend'] = backend
        if name == 'emotion' and self.values.get('emotion_reading'):
            chosen['reading'] = self.values['emotion_reading']
        if self.values.get('image_transport') and NODES[name].images:
            chosen['image_transport'] = self.values['image_transport']
        if name == CAMERA:
            chosen['source'] = self.values['source']
        if name in WITH_IMAGE_TOPICS and self.values.get('publish_images'):
            chosen['publish_images'] = self.values['publish_images'] == 'true'
        if name == 'web_monitor':
            given = {key: self.values.get(f'web_{key}') for key in ('host', 'privacy')}
            chosen |= {key: value for key, value in given.items() if value}
        if self.values['use_sim_time']:
            chosen['use_sim_time'] = self.values['use_sim_time'] == 'true'
        return chosen

    def start_all(self) -> list[Action]:
        """Start what is switched on: a source of images, nodes, rviz2."""
        camera = [] if self.values.get('source', NONE) == NONE else [CAMERA]
        names = [*camera, *self.enabled()]
        if not names and 'source' in self.values and self.values.get('rviz') == 'false':
            raise ValueError('there is nothing to start: every node is switched off')
        rviz = self.start_rviz()  # first: it may say that a value is wrong
        return [*self.start(names), *rviz]

    def start(self, names: Sequence[str]) -> list[Action]:
        """Start nodes, where and how the arguments say."""
        alone = [name for name in names if NODES[name].alone]
        others = [name for name in names if name not in alone]
        joined = self.values.get('container', '')
        composed = joined or self.values.get('composed') == 'true'
        actions = self._join(joined, others) if joined and others else []
        executables = {name: name for name in (alone if composed else names)}
        parameters = {name: self.overrides(name) for name in names}
        if others and composed and not joined:
            executables[CONTAINER_NAME] = CONTAINERS[self.values['container_threads']]
            parameters[CONTAINER_NAME] = {'components': others}
        if not executables:
            return actions
        file, cleaning = self.write(parameters)
        return [
            *actions,
            cleaning,
            *(self._process(executable, name, file) for name, executable in executables.items()),
        ]

    def start_rviz(self) -> list[Action]:
        """Start rviz2 where it is asked for; say so where it is not installed."""
        if self.values.get('rviz') != 'true':
            return []
        config = Path(self.values['rviz_config'])
        if not config.is_file():
            raise ValueError(f'rviz_config: there is no file {config}')
        if not is_installed('rviz2'):
            launch.logging.get_logger('aitable').warning(
                f'rviz2 is not installed (sudo apt install {apt_name("rviz2")}): going on without'
            )
            return []
        sim_time = {'use_sim_time': self.values['use_sim_time'] == 'true'}
        return [
            Node(
                package='rviz2',
                executable='rviz2',
                name='rviz2',
                namespace=self.values['namespace'],
                arguments=['-d', str(config)],
                parameters=[sim_time],
                additional_env=self.environment(),
                output='screen',
            )
        ]

    def _process(self, executable: str, name: str, file: Path) -> Node:
        return Node(
            package=PACKAGE,
            executable=executable,
            name=name,
            namespace=self.values['namespace'],
            output='screen',
            remappings=self.remappings,
            parameters=[*self.parameter_files(), ParameterFile(file)],
            ros_arguments=['--log-level', self.values['log_level']],
            additional_env=self.environment(),
            respawn=self.values.get('respawn') == 'true',
            respawn_delay=RESPAWN_DELAY_S,
        )

    def write(self, parameters: Mapping[str, Mapping[str, Any]]) -> tuple[Path, Action]:
        """
        Write parameters into a file for the processes that are started.

        A file, since rules on a command line (``-p node:name:=value``) reach composed nodes in
        the root namespace only, and full names, since those come after a file's wildcards.

        :param parameters: by node name.
        :returns: the file, and the action that sees to its removal.
        """
        tree = {
            self.full_name(name): {'ros__parameters': dict(chosen)}
            for name, chosen in parameters.items()
            if chosen
        }
        folder = Path(tempfile.mkdtemp(prefix='aitable_launch_'))
        file = folder / 'parameters.yaml'
        # JSON is YAML in which every string is quoted, so that it stays one
        file.write_text(json.dumps(tree, ensure_ascii=False), encoding='utf-8')

        def remove(event: Event, context: LaunchContext) -> None:
            shutil.rmtree(folder, ignore_errors=True)

        return file, RegisterEventHandler(OnShutdown(on_shutdown=remove))

    def parameter_files(self) -> list[ParameterFile]:
        """Give the parameter files."""
        return [ParameterFile(path, allow_substs=True) for path in self.params_files]

    def environment(self) -> dict[str, str]:
        """Give the variables for the transport of images, and for who is to be found."""
        variables = transport_settings(self.context.environment)
        if self.values.get('network') == 'local':
            variables |= local_settings(self.context.environment)
        return variables

    def _join(self, container: str, names: Sequence[str]) -> list[Action]:
        """Load the nodes into a container that runs, through its services."""
        return [
            LogInfo(msg=f'loading {", ".join(names)} into {container}, once it is there'),
            LoadComposableNodes(
                target_container=container,
                composable_node_descriptions=[
                    ComposableNode(
                        package=PACKAGE,
                        plugin=NODES[name].plugin,
                        name=name,
                        namespace=self.values['namespace'],
                        remappings=self.remappings,
                        parameters=[self._all_parameters(name)],
                    )
                    for name in names
                ],
            ),
        ]

    def _all_parameters(self, name: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for file in self.parameter_files():
            values.update(parameters_for(file.evaluate(self.context), self.full_name(name)))
        values.update(self.overrides(name))
        return {key: _typed(value) for key, value in values.items()}


def beside(image_topic: str) -> str:
    """Give the topic of the calibration that belongs to a topic of images."""
    namespace, slash, _ = image_topic.rpartition('/')
    return f'{namespace}{slash}camera_info'


def is_installed(package: str) -> bool:
    """Tell whether a ROS package is installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def apt_name(package: str) -> str:
    """Give the name of the Debian package of a ROS package."""
    distro = os.environ.get('ROS_DISTRO', '<distro>')
    return f'ros-{distro}-{package.replace("_", "-")}'


def _typed(value: Any) -> Any:
    """Keep launch_ros from reading a string such as '0' as YAML once more."""
    if isinstance(value, str):
        return ParameterValue(value, value_type=str)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ParameterValue(value, value_type=list[str])
    return value
