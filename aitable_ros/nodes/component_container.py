# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Container: several nodes composed in one process, sharing camera frames."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import Executor, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args

from aitable_ros.inference.engine import one_line
from aitable_ros.nodes.registry import NODES, PLUGINS
from aitable_ros.ros_support.container.component_manager import ComponentManager
from aitable_ros.ros_support.container.plugins import PluginRegistry
from aitable_ros.ros_support.container.request import ComponentError, ComponentRequest
from aitable_ros.ros_support.node.answering import AnsweringNode
from aitable_ros.ros_support.node.operations import reply_later, unused
from aitable_ros.ros_support.node.worker import Worker
from aitable_ros.ros_support.parameters.table import ParameterSpec, ParameterTable
from aitable_ros.ros_support.process.executor import (
    ignore_interrupts,
    make_executor,
    ros_process,
    spin_executor,
    utf8,
)

MAX_THREADS = 256
SHUTDOWN_PATIENCE_S = 3.0


class ComponentContainer(AnsweringNode, Node):
    """
    Node that loads nodes into its own process and unloads them, as it is asked to.

    Offers ``~/_container/load_node``, ``unload_node`` and ``list_nodes``, which ``ros2 component``
    and launch use, where composition_interfaces is installed. In any case it begins with the nodes
    of its parameter ``components``, which get its own ROS arguments (parameter files, remappings,
    namespace): one parameter file serves both composed and separate nodes.

    :param ros_args: the ROS arguments that nodes in ``components`` get, and those loaded with
        the extra argument ``forward_global_arguments``.
    :param kwargs: passed to :class:`rclpy.node.Node`.
    """

    PARAMETERS = (
        ParameterSpec(
            'components',
            [''],
            f'nodes to begin with: names ({", ".join(NODES)}) or plugins (package::Class)',
            read_only=True,
        ),
        ParameterSpec(
            'threads',
            0,
            'threads that run callbacks, at least 2; 0: one for each CPU (component_container_mt '
            'only)',
            (0, MAX_THREADS),
            read_only=True,
        ),
    )

    def __init__(
        self,
        name: str = 'aitable_container',
        *,
        ros_args: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.params = ParameterTable(self, self.PARAMETERS)
        self._ros_args = list(ros_args)
        self._plugins = PluginRegistry(PLUGINS)
        self._manager: ComponentManager | None = None
        # a plugin's module may take seconds to import
        self._importing: Worker[None] = Worker(
            f'{self.get_name()}_importing', lambda item: None, lambda error: None
        )

    @property
    def manager(self) -> ComponentManager:
        """What loads and unloads; there is one after :meth:`compose`."""
        assert self._manager is not None, 'compose() comes first'
        return self._manager

    def compose(self, executor: Executor) -> None:
        """
        Create the nodes of parameter ``components`` and offer the services, before spinning.

        :param executor: spins this container and its components.
        :raises ComponentError: for a name that is not known or given twice, or a node whose
            constructor raises.
        """
        self._manager = ComponentManager(self, executor, self._plugins, self._ros_args)
        executor.add_node(self)
        names = list(filter(None, self.params['components']))
        for name in names:
            component = self._manager.load(self._request_for(name))
            self.get_logger().info(f'composed {component.full_name}')
        self._offer_services(bool(names))

    def close(self, patience_s: float | None = None) -> tuple[str, ...]:
        """
        Destroy the composed nodes, when nothing spins any more.

        :param patience_s: how long to wait for nodes that are loading [s]; None: for ever.
        :returns: what was left because it is still busy: nodes, or an import.
        """
        deadline_s = None if patience_s is None else time.monotonic() + patience_s
        left = self._manager.close(patience_s) if self._manager is not None else ()
        if deadline_s is not None:
            imported = self._importing.call(lambda: None)
            if wait([imported], max(0.0, deadline_s - time.monotonic())).not_done:
                left = (*left, 'import of a plugin')
        return left

    def destroy_node(self) -> None:
        """Destroy the composed nodes and the container itself."""
        if hasattr(self, '_importing'):  # Kilted destroys also one whose constructor raised
            self.close()
            self._importing.stop()
        super().destroy_node()

    def _request_for(self, name: str) -> ComponentRequest:
        """Make the request for an entry of parameter ``components``."""
        if '::' not in name and name not in NODES:
            raise ComponentError(
                f'components: {name!r} unknown; there are {", ".join(NODES)}, and plugins '
                'as package::Class'
            )
        plugin = NODES[name].plugin if name in NODES else name
        return ComponentRequest(
            plugin.partition('::')[0],
            plugin,
            node_name=name if name in NODES else '',
            node_namespace=self.get_namespace(),
            extra_arguments=(Parameter('forward_global_arguments', value=True),),
        )

    def _offer_services(self, has_components: bool) -> None:
        try:
            from composition_interfaces.srv import ListNodes, LoadNode, UnloadNode
        except ImportError as error:
            self.get_logger().warning(
                'the services of a component container (ros2 component, ComposableNode in launch '
                f'files) are not offered: composition_interfaces is not installed ({error}); the '
                'nodes are those of parameter components'
            )
            if not has_components:
                raise ComponentError('nothing to compose: parameter components is empty') from None
            return
        # list_nodes answers while a constructor runs in another of the executor's threads
        listing = MutuallyExclusiveCallbackGroup()
        self.create_service(
            ListNodes, '~/_container/list_nodes', self._on_list, callback_group=listing
        )
        load = self.create_service(LoadNode, '~/_container/load_node', unused)
        reply_later(load, self._on_load)
        unload = self.create_service(UnloadNode, '~/_container/unload_node', unused)
        reply_later(unload, self._on_unload)

    def _on_load(self, request: Any, response: Any) -> Future[Any]:
        """Import the plugin in a thread, construct the node in the executor, then answer."""
        answered: Future[Any] = Future()
        wanted = f'loading {request.package_name} {request.plugin_name}'

        def construct(found: Future[tuple[ComponentRequest, Any]]) -> None:
            try:
                component = self.manager.load(*found.result())
                response.success = True
                response.full_node_name = component.full_name
                response.unique_id = component.unique_id
                self.get_logger().info(
                    f'loaded {component.full_name} ({request.plugin_name}) as '
                    f'{component.unique_id}'
                )
            except Exception as error:
                response.success = False
                response.error_message = self._refused(wanted, error)
            answered.set_result(response)

        def find() -> tuple[ComponentRequest, Any]:
            read = ComponentRequest.from_message(request)
            return read, self._plugins.find(read.package, read.plugin)

        executor = self.executor
        assert executor is not None
        self._importing.call(find).add_done_callback(
            lambda found: executor.create_task(construct, found)
        )
        return answered

    def _on_unload(self, request: Any, response: Any) -> Future[Any]:
        """Answer when the node is destroyed."""
        answered: Future[Any] = Future()

        def answer(left: Future[str]) -> None:
            response.success = True
            self.get_logger().info(f'unloaded {left.result()} ({request.unique_id})')
            answered.set_result(response)

        try:
            self.manager.unload(request.unique_id).add_done_callback(answer)
        except Exception as error:
            response.success = False
            response.error_message = self._refused(f'unloading {request.unique_id}', error)
            answered.set_result(response)
        return answered

    def _on_list(self, request: Any, response: Any) -> Any:
        components = self.manager.components
        response.full_node_names = [c.full_name for c in components]
        response.unique_ids = [c.unique_id for c in components]
        return response

    def _refused(self, what: str, error: Exception) -> str:
        """Log a failure and give the text that goes into the reply."""
        if isinstance(error, ComponentError):
            text, details = str(error), error.details
        else:
            text, details = f'{type(error).__name__}: {error}', traceback.format_exc()
        self.seldom.error('refused', utf8(f'{what}: {text}'), utf8(details))
        return utf8(one_line(text))


def shared_ros_args(argv: Sequence[str]) -> list[str]:
    """
    Pick from a command line the ROS arguments that composed nodes share.

    All but the rules that rename the process's node.

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


def make_threaded_executor(container: ComponentContainer) -> Executor:
    """Make the executor of ``component_container_mt``, with the container's ``threads``."""
    threads = max(2, container.params['threads'] or os.cpu_count() or 2)
    container.get_logger().info(f'{threads} threads run callbacks')
    return MultiThreadedExecutor(num_threads=threads, context=container.context)


def run(args: Sequence[str] | None = None, *, threaded: bool = False) -> None:
    """
    Run a container until the process is asked to end.

    :param args: command line, program name first; ``sys.argv`` by default.
    """
    argv = list(sys.argv if args is None else args)
    try:
        further = remove_ros_args(argv)[1:]
    except rclpy_implementation.RCLError as error:
        sys.exit(f'component_container: {error}')
    if further:
        sys.exit(f'component_container: unknown arguments {further}; use --ros-args')
    status = 0
    left: tuple[str, ...] = ()
    with ros_process(argv):
        container = ComponentContainer(ros_args=shared_ros_args(argv))
        executor = make_threaded_executor(container) if threaded else make_executor()
        try:
            container.compose(executor)
            spin_executor(executor, container.get_logger())
        except ComponentError as error:
            # what fails because the process was asked to end is no failure
            if container.context.ok():
                container.get_logger().fatal(utf8(f'{error}\n{error.details}'.rstrip()))
                status = 1
        finally:
            ignore_interrupts()
            left = container.close(SHUTDOWN_PATIENCE_S)
            if not left:
                container.destroy_node()
            executor.shutdown(timeout_sec=SHUTDOWN_PATIENCE_S)
    if left:
        # A thread that is inside a runtime's loader can be neither interrupted nor waited for
        # (launch kills after ten seconds), and must not wake up in a dismantled interpreter.
        print(f'still busy, left as is: {", ".join(left)}', file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    if status:
        sys.exit(status)


def main(args: Sequence[str] | None = None) -> None:
    """Run a container that calls all its nodes in one thread."""
    run(args)


def main_mt(args: Sequence[str] | None = None) -> None:
    """Run a container that calls its nodes in several threads."""
    run(args, threaded=True)


if __name__ == '__main__':
    main()
