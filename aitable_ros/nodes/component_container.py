# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Container: several nodes composed in one process, sharing camera frames."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from aitable_ros.ros_support.executor import spin
from aitable_ros.ros_support.managed_node import ManagedNode
from aitable_ros.ros_support.parameters import ParameterSpec, ParameterTable

COMPONENTS = {
    'face_detection': 'aitable_ros.nodes.face_detection_node:FaceDetectionNode',
    'emotion': 'aitable_ros.nodes.emotion_node:EmotionNode',
    'fatigue': 'aitable_ros.nodes.fatigue_node:FatigueNode',
    'overlay': 'aitable_ros.nodes.overlay_node:OverlayNode',
    'image_source': 'aitable_ros.nodes.image_source_node:ImageSourceNode',
}
"""The nodes that can be composed, by name."""


class ComponentContainer(Node):
    """
    Node that creates the nodes named in its parameter ``components`` in its own process.

    The composed nodes keep their names and see the same ROS arguments as the container
    (parameter files, topic remappings, namespace), so that one parameter file serves both
    composed and separate nodes.

    :param name: node name.
    :param ros_args: the ROS arguments that the composed nodes get.
    :param kwargs: passed to :class:`rclpy.node.Node`.
    """

    def __init__(
        self,
        name: str = 'aitable_container',
        *,
        ros_args: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.params = ParameterTable(
            self,
            (
                ParameterSpec(
                    'components',
                    ['face_detection', 'emotion', 'fatigue'],
                    'nodes to compose: ' + ', '.join(COMPONENTS),
                    read_only=True,
                ),
            ),
        )
        self._ros_args = list(ros_args)
        self.components: dict[str, ManagedNode] = {}

    def compose(self, executor: Executor) -> None:
        """
        Create the nodes.

        :param executor: spins them.
        :raises ValueError: for a name that is not known or given twice.
        """
        names: list[str] = list(self.params['components'])
        unknown = sorted(set(names) - set(COMPONENTS))
        if unknown:
            raise ValueError(
                f'components: {", ".join(unknown)} unknown; there are {", ".join(COMPONENTS)}'
            )
        if len(set(names)) < len(names):
            raise ValueError(f'components: a name is given twice in {names}')
        for name in names:
            node_class = _import(COMPONENTS[name])
            node = node_class(
                name,
                context=self.context,
                namespace=self.get_namespace(),
                # the process's own arguments may rename the container: not its nodes
                use_global_arguments=False,
                cli_args=['--ros-args', *self._ros_args],
            )
            self.components[name] = node
            executor.add_node(node)
            self.get_logger().info(f'composed {node.get_fully_qualified_name()}')

    def destroy_node(self) -> None:
        """Destroy the composed nodes and the container itself."""
        for node in self.components.values():
            node.destroy_node()
        self.components.clear()
        super().destroy_node()


def shared_ros_args(argv: Sequence[str]) -> list[str]:
    """
    Pick from a command line the ROS arguments that composed nodes share.

    Everything between ``--ros-args`` and ``--`` except rules that rename the process's node.

    :param argv: the command line, program name first.
    """
    shared: list[str] = []
    inside = False
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument == '--ros-args':
            inside = True
        elif argument == '--':
            inside = False
        elif inside:
            if argument in ('-r', '--remap'):
                rule = next(arguments, '')
                if rule.split(':=', 1)[0] not in ('__node', '__name'):
                    shared += [argument, rule]
            else:
                shared.append(argument)
    return shared


def _import(path: str) -> Callable[..., ManagedNode]:
    module, name = path.split(':')
    factory: Callable[..., ManagedNode] = getattr(import_module(module), name)
    return factory


def main(args: Sequence[str] | None = None) -> None:
    """Run a container."""
    argv = list(sys.argv if args is None else args)
    further = remove_ros_args(argv)[1:]
    if further:
        sys.exit(f'component_container: unknown arguments {further}; use --ros-args')

    def make(executor: Executor) -> Sequence[Node]:
        container = ComponentContainer(ros_args=shared_ros_args(argv))
        try:
            container.compose(executor)
        except ValueError as error:
            container.get_logger().fatal(str(error))
            container.destroy_node()
            sys.exit(1)
        return [container]

    spin(make, argv)


if __name__ == '__main__':
    main()
