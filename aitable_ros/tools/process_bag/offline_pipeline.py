# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes without a graph: messages in, results out, one after the other."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aitable_ros.bags.definitions import Canonical, TypeDefinition, find_definition
from aitable_ros.bags.reading import IMAGE_TYPES
from aitable_ros.nodes.registry import NODES, PERCEIVING

NOT_RESULTS = (
    'diagnostic_msgs/msg/DiagnosticArray',
    'lifecycle_msgs/msg/TransitionEvent',
    'rcl_interfaces/msg/Log',
    'rcl_interfaces/msg/ParameterEvent',
)
"""Types of what nodes publish about themselves."""


def _alone() -> dict[str, str | None]:
    """
    Give the environment in which nodes are neither seen nor sent anything by other processes.

    :returns: values of variables; None: not set. Humble knows no better than to stay on this
        machine.
    """
    if os.environ.get('ROS_DISTRO') == 'humble':
        return {'ROS_LOCALHOST_ONLY': '1'}
    return {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF', 'ROS_LOCALHOST_ONLY': None}


class PipelineError(RuntimeError):
    """The nodes cannot be made or cannot work; the message is one line that says why."""


class MalformedFrame(ValueError):  # noqa: N818 (an event, which the caller counts)
    """An image was refused; nothing was computed from it."""


@dataclass(frozen=True)
class Output:
    """
    A topic on which the pipeline publishes.

    :param topic: resolved name.
    :param definition: of the type of its messages.
    :param reliable: its publisher offers reliable delivery.
    :param depth: how many messages its publisher keeps.
    """

    topic: str
    definition: TypeDefinition
    reliable: bool
    depth: int


@dataclass(frozen=True)
class Result:
    """
    A result.

    :param topic: resolved name of its topic.
    :param type_name: as in ``aitable_msgs/msg/Fatigue``.
    :param data: the serialised message (CDR, canonical: equal results are equal bytes).
    """

    topic: str
    type_name: str
    data: bytes


def available_nodes() -> tuple[str, ...]:
    """Return the names of the nodes that this installation has."""
    return tuple(
        name for name in PERCEIVING if importlib.util.find_spec(NODES[name].module) is not None
    )


class OfflinePipeline:
    """
    The real nodes, configured and wired as they are in a graph, but fed by hand.

    Nothing is spun and nothing is sent: a message that is fed goes to the callbacks of those who
    subscribe to its topic, what they offer to their worker threads is worked on at once, and
    each result goes to its subscribers in turn, before the next message. So no frame is ever
    overtaken, and the results depend on the messages alone. Between nodes messages are
    serialised, as they would be on their way through the middleware.

    Use it as a context manager.

    :param nodes: of those that perceive (:mod:`aitable_ros.nodes.registry`).
    :param arguments: ROS arguments for all of them, such as ``('--params-file', 'x.yaml')``.
    :param parameters: values for all nodes that have a parameter of this name, or, as
        ``node:name``, for one; they overrule the arguments.
    :param namespace: in which the nodes are.
    :param optional: a node that is not required and cannot be configured is left out, and said
        in :attr:`skipped`; else that is an error.
    :raises PipelineError: on entering, when a node cannot be made or configured.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        *,
        arguments: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        namespace: str = '',
        optional: bool = False,
    ) -> None:
        unknown = [name for name in nodes if name not in PERCEIVING]
        if unknown or not nodes:
            raise PipelineError(
                f'no such node: {", ".join(unknown)}' if unknown else 'no node to run'
            )
        # in the order of the flow
        self._names = tuple(name for name in PERCEIVING if name in nodes)
        self._arguments = tuple(arguments)
        self._parameters = dict(parameters or {})
        self._namespace = namespace
        self._optional = optional
        self._context: Any = None
        self._nodes: dict[str, Any] = {}
        self._inbox: deque[tuple[Any, Any]] = deque()
        self._routes: dict[tuple[str, str], list[Any]] = {}
        self._canonical: dict[str, Canonical] = {}
        self.skipped: dict[str, str] = {}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that run."""
        return tuple(self._nodes)

    @property
    def inputs(self) -> Mapping[str, str]:
        """The topics that are listened to, and their types; results among them."""
        return dict(self._routes.keys())

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The topics on which there may be results."""
        outputs: dict[str, Output] = {}
        for node in self._nodes.values():
            for publisher in node.publishers:
                type_name = _type_name(publisher.msg_type)
                if type_name not in NOT_RESULTS and publisher.topic_name not in outputs:
                    outputs[publisher.topic_name] = Output(
                        publisher.topic_name,
                        self._definition(type_name),
                        publisher.qos_profile.reliability.name == 'RELIABLE',
                        publisher.qos_profile.depth,
                    )
        return tuple(outputs.values())

    def feed(
        self, topic: str, type_name: str, data: bytes, along: Sequence[Result] = ()
    ) -> list[Result]:
        """
        Deliver a message and work until nothing is left to do.

        :param topic: where to deliver it; see :attr:`inputs`.
        :param type_name: its type.
        :param data: the serialised message (CDR).
        :param along: delivered with it, as if it had been computed from it.
        :returns: what was computed from it, in order.
        :raises MalformedFrame: when an image was refused, or the message cannot be read.
        :raises PipelineError: when a node fails.
        """
        from aitable_ros.perception.images.decoding import ImageConversionError

        results: list[Result] = []
        self._deliver(topic, type_name, data)
        for one in along:
            self._deliver(one.topic, one.type_name, one.data)
        while self._inbox:
            node, item = self._inbox.popleft()
            try:
                published = node.results_of(item)
            except ImageConversionError as error:
                self._inbox.clear()
                raise MalformedFrame(_one_line(error)) from error
            except Exception as error:
                self._inbox.clear()
                kind = type(error).__name__
                raise PipelineError(f'{node.get_name()}: {kind}: {_one_line(error)}') from error
            for publisher, message in published:
                result = self._serialise(publisher.topic_name, message)
                results.append(result)
                self._deliver(result.topic, result.type_name, result.data)
        return results

    def __enter__(self) -> OfflinePipeline:
        from rclpy.context import Context

        from aitable_ros.ros_support.process.executor import init

        self._context = Context()
        with _environment(_alone()):
            init([], self._context)
            try:
                for name in self._names:
                    self._make(name)
                self._wire()
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        for node in reversed(self._nodes.values()):
            node.destroy_node()
        self._nodes, self._routes = {}, {}
        self._context.try_shutdown()

    def _make(self, name: str) -> None:
        """Make, configure and activate a node."""
        from rclpy.lifecycle import TransitionCallbackReturn

        entry = NODES[name]
        try:
            node_class = getattr(importlib.import_module(entry.module), entry.class_name)
            node = node_class(
                name,
                context=self._context,
                namespace=self._namespace or None,
                use_global_arguments=False,
                cli_args=['--ros-args', *self._arguments] if self._arguments else None,
                parameter_overrides=self._overrides(name, node_class),
            )
        except Exception as error:
            raise PipelineError(f'{name}: {_one_line(error)}') from error
        # before it is activated, since its subscriptions are made with it; all results come here
        setattr(node, 'hands_over', False)  # noqa: B010
        setattr(node, 'offer', lambda item: self._inbox.append((node, item)))  # noqa: B010
        self._nodes[name] = node
        done = node.trigger_configure()
        if done is TransitionCallbackReturn.SUCCESS:
            done = node.trigger_activate()
        if done is not TransitionCallbackReturn.SUCCESS:
            _, why = node.health()
            if not self._optional or node.is_required:
                raise PipelineError(f'{name}: {" ".join(why.split())}')
            self.skipped[name] = why
            self._nodes.pop(name).destroy_node()

    def _wire(self) -> None:
        for node in self._nodes.values():
            for subscription in node.subscriptions:
                route = (subscription.topic_name, _type_name(subscription.msg_type))
                self._routes.setdefault(route, []).append(subscription)

    def _overrides(self, node_name: str, node_class: Any) -> list[Any]:
        from rclpy.parameter import Parameter

        known = {spec.name for spec in node_class.PARAMETERS}
        chosen = {
            name: value
            for key, value in self._parameters.items()
            for of_node, _, name in [key.rpartition(':')]
            if name in known and of_node in ('', node_name)
        }
        return [
            Parameter(name, value=value) for name, value in {**chosen, 'autostart': False}.items()
        ]

    def _deliver(self, topic: str, type_name: str, data: bytes) -> None:
        from rclpy.serialization import deserialize_message

        from aitable_ros.perception.images.decoding import MalformedImageError

        listeners = self._routes.get((topic, type_name), ())
        if not listeners:
            return
        message: Any = None
        if not all(subscription.raw for subscription in listeners):
            try:
                message = deserialize_message(data, listeners[0].msg_type)
            except Exception as error:
                what = f'{type_name} cannot be read: {_one_line(error)}'
                raise MalformedFrame(what) from error
        for subscription in listeners:
            try:
                subscription.callback(data if subscription.raw else message)
            except MalformedImageError as error:
                raise MalformedFrame(_one_line(error)) from error

    def _serialise(self, topic: str, message: Any) -> Result:
        from rclpy.serialization import serialize_message

        type_name = _type_name(type(message))
        if type_name not in self._canonical:
            self._canonical[type_name] = Canonical(self._definition(type_name))
        return Result(topic, type_name, self._canonical[type_name](serialize_message(message)))

    @staticmethod
    def _definition(type_name: str) -> TypeDefinition:
        definition = find_definition(type_name)
        if definition is None:
            raise PipelineError(f'the definition of {type_name} is not installed')
        return definition


def image_inputs(inputs: Mapping[str, str]) -> list[str]:
    """Return the topics of :attr:`OfflinePipeline.inputs` that want images."""
    return [topic for topic, type_name in inputs.items() if type_name in IMAGE_TYPES]


def _type_name(message_class: Any) -> str:
    package = message_class.__module__.partition('.')[0]
    return f'{package}/msg/{message_class.__name__}'


def _one_line(error: BaseException) -> str:
    return ' '.join(str(error).split()) or type(error).__name__


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables for a while, or unset them."""
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
