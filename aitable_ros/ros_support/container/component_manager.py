# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Loading nodes into a running process, and unloading them: what a component container does."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import Executor, MultiThreadedExecutor
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.parameter import Parameter

from aitable_ros.ros_support.container.departure import SWEEP_PERIOD_S, Departure
from aitable_ros.ros_support.container.plugins import PluginRegistry
from aitable_ros.ros_support.container.request import (
    Component,
    ComponentError,
    ComponentRequest,
    absolute,
    boolean,
    brief,
    is_of_rclpy,
    name_rules,
    severity,
    traceback_of,
)
from aitable_ros.ros_support.process.executor import collect


class ComponentManager:
    """
    The nodes that are composed in one process, on one executor.

    Methods are called in the executor's thread (any, where it has several), or while nothing
    spins. A node is destroyed only when none of its callbacks runs, and a
    :class:`~aitable_ros.ros_support.node.managed_node.ManagedNode` that still loads a network
    once that has ended; nothing waits for it.

    :param container: node that the components live beside: gives context, logger and timer.
    :param ros_args: what components that ask for it get of the container's command line.
    """

    def __init__(
        self,
        container: Node,
        executor: Executor,
        plugins: PluginRegistry,
        ros_args: Sequence[str] = (),
    ) -> None:
        self._container = container
        self._executor = executor
        self._plugins = plugins
        self._ros_args = list(ros_args)
        self._is_threaded = isinstance(executor, MultiThreadedExecutor)
        self._components: dict[int, Component] = {}
        self._departures: list[Departure] = []
        self._last_id = 0
        self._lock = threading.Lock()
        # two threads of the executor may be asked for the same name
        self._loading = threading.Lock()
        # /clock may stand still
        self._timer = container.create_timer(
            SWEEP_PERIOD_S,
            self._sweep,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._timer.cancel()

    @property
    def components(self) -> tuple[Component, ...]:
        """The loaded components, oldest first."""
        with self._lock:
            return tuple(self._components.values())

    @property
    def departing(self) -> tuple[str, ...]:
        """Full names of the nodes that were unloaded, but are not destroyed yet."""
        with self._lock:
            return tuple(d.name for d in self._departures)

    def load(
        self, request: ComponentRequest, factory: Callable[..., Any] | None = None
    ) -> Component:
        """
        Construct a node and have it spun.

        :param factory: the plugin, where it was imported already.
        :raises ComponentError: when there is no such plugin, an argument is wrong, the name is
            taken, or the node's constructor raises. Nothing is left behind then.
        """
        forward = self._forwards_arguments(request.extra_arguments)
        level = severity(request.log_level)
        cli_args = name_rules(request)
        factory = factory or self._plugins.find(request.package, request.plugin)
        for rule in request.remap_rules:
            cli_args += ['-r', rule]
        if forward:
            cli_args += self._ros_args
        name = request.node_name or _default_name(factory)
        with self._loading:
            if name:
                # before it is constructed: even short-lived, a namesake takes over /rosout
                self._refuse_duplicate(f'{absolute(request.node_namespace).rstrip("/")}/{name}')
            node = self._construct(request, factory, cli_args)
            full_name = node.get_fully_qualified_name()
            try:
                self._refuse_duplicate(full_name)
            except ComponentError:
                node.destroy_node()
                raise
            if level is not None:
                node.get_logger().set_level(level)
            with self._lock:
                self._last_id += 1
                component = Component(self._last_id, full_name, node)
                self._components[component.unique_id] = component
            self._executor.add_node(node)
        return component

    def unload(self, unique_id: int) -> Future[str]:
        """
        Destroy a component: its subscriptions, timers, threads and memory.

        Nothing of it is called any more, but what runs already is waited for; until then
        :attr:`departing` has the node.

        :returns: its full name, once it is destroyed or :data:`UNLOAD_WAIT_S` have gone by.
        :raises ComponentError: when there is none with this number.
        """
        with self._lock:
            component = self._components.pop(unique_id, None)
            if component is None:
                there = ', '.join(str(i) for i in self._components) or 'none'
                raise ComponentError(f'no component has unique id {unique_id}; there are {there}')
        self._executor.remove_node(component.node)
        departure = Departure(component, self._is_threaded)
        departure.begin()
        with self._lock:
            self._departures.append(departure)
        self._timer.reset()
        return departure.left

    def close(self, patience_s: float | None = None) -> tuple[str, ...]:
        """
        Destroy all components, when nothing spins any more.

        :param patience_s: how long to wait for nodes that are loading [s]; None: for ever.
        :returns: full names of the nodes that were left because they are still loading.
        """
        deadline_s = None if patience_s is None else time.monotonic() + patience_s
        with self._lock:
            departures = [
                *self._departures,
                *(Departure(c, self._is_threaded) for c in self._components.values()),
            ]
            self._components.clear()
            self._departures = []
        for departure in departures:
            self._executor.remove_node(departure.node)
        left = []
        for departure in departures:
            if departure.wait(deadline_s):
                self._destroy(departure)
            else:
                left.append(departure.name)
        collect()
        return tuple(left)

    def _construct(
        self, request: ComponentRequest, factory: Callable[..., Any], cli_args: list[str]
    ) -> Node:
        arguments = {
            'context': self._container.context,
            'cli_args': ['--ros-args', *cli_args],
            # the process's own arguments may rename the container: not its components
            'use_global_arguments': False,
            'parameter_overrides': list(request.parameters),
        }
        with suppress(ValueError):  # some callables do not tell their signature
            signature = inspect.signature(factory)
            try:
                signature.bind(**arguments)
            except TypeError as error:
                raise ComponentError(
                    f'{request.plugin} cannot be composed: its constructor has to take the '
                    f'keyword arguments {", ".join(arguments)} and hand them to '
                    f'rclpy.node.Node ({error})'
                ) from None
        node: Any = None
        problem: ComponentError | None = None
        try:
            node = _call(factory, arguments)
        except (Exception, SystemExit) as error:  # whatever a stranger's constructor does
            details = '' if is_of_rclpy(error) else traceback_of(error)
            problem = ComponentError(f'{request.plugin}: {brief(error)}', details)
        if problem is not None:
            # outside of the handler, where nothing holds the half-made node any more
            collect()
            raise problem
        if not isinstance(node, Node):
            raise ComponentError(f'{request.plugin} made a {type(node).__name__}, not a node')
        if node.context is not self._container.context:
            node.destroy_node()
            raise ComponentError(f'{request.plugin} did not hand `context` to rclpy.node.Node')
        return node

    def _refuse_duplicate(self, full_name: str) -> None:
        if full_name == self._container.get_fully_qualified_name():
            raise ComponentError(f'{full_name} is the name of the container')
        for component in self.components:
            if component.full_name == full_name:
                raise ComponentError(
                    f'{full_name} is loaded already, with unique id {component.unique_id}'
                )
        if full_name in self.departing:
            raise ComponentError(f'{full_name} was unloaded, but is still busy; try again later')

    def _forwards_arguments(self, extra_arguments: Sequence[Parameter]) -> bool:
        forward = False
        for argument in extra_arguments:
            if argument.name in ('forward_global_arguments', 'use_global_arguments'):
                forward = boolean(argument)
            elif argument.name == 'use_intra_process_comms':
                boolean(argument)
            else:
                self._container.get_logger().warning(
                    f'extra argument {argument.name} means nothing to this container; ignored'
                )
        return forward

    def _sweep(self) -> None:
        """Destroy what is ready to be; called until nothing is left to do."""
        with self._lock:
            departures = list(self._departures)
        destroyed = [d for d in departures if d.node is None]
        if destroyed:
            # since the last time the executor, too, has let go of them; nodes are full of
            # cycles, and hold images and networks
            collect()
        gone = [d for d in destroyed if d.is_gone()]
        with self._lock:
            for departure in gone:
                self._departures.remove(departure)
            if not self._departures:
                self._timer.cancel()
        for departure in departures:
            if departure in gone:
                departure.answer()
            elif departure in destroyed:
                continue
            elif departure.is_ready():
                self._destroy(departure)
            elif departure.is_late():
                self._container.get_logger().info(
                    f'{departure.name} is still busy; it is destroyed when that ends'
                )
                departure.answer()

    def _destroy(self, departure: Departure) -> None:
        # rcutils keeps levels by name: the next node of this name would inherit it
        with suppress(Exception):
            departure.node.get_logger().set_level(LoggingSeverity.UNSET)
        try:
            departure.node.destroy_node()
        except Exception as error:
            if self._container.context.ok():
                text = f'destroying {departure.name}: {brief(error)}\n{traceback_of(error)}'
                self._container.get_logger().error(text.encode(errors='replace').decode())
        departure.forget()


def _call(factory: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a factory; a node whose constructor raises is taken off the graph."""
    if not (isinstance(factory, type) and issubclass(factory, Node)):
        return factory(**arguments)
    node = factory.__new__(factory, **arguments)
    try:
        node.__init__(**arguments)  # type: ignore[misc]
    except BaseException:
        # the base class's: what a subclass adds to it may count on a whole node
        with suppress(Exception):
            Node.destroy_node(node)
        raise
    return node


def _default_name(factory: Callable[..., Any]) -> str:
    """Give the name that a class gives its node, where its signature tells."""
    with suppress(TypeError, ValueError):
        parameters = inspect.signature(factory).parameters
        for key in ('name', 'node_name'):
            if key in parameters and isinstance(parameters[key].default, str):
                return str(parameters[key].default)
    return ''
