# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a container is asked to load, checked."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

from rclpy.exceptions import (
    InvalidNamespaceException,
    InvalidNodeNameException,
    ParameterException,
)
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name


class ComponentError(Exception):
    """
    A component that cannot be loaded or unloaded; the message says why.

    :param details: a traceback for the log where a plugin's own code failed, else empty.
    """

    def __init__(self, message: str, details: str = '') -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True)
class ComponentRequest:
    """
    What is to be loaded; the fields of ``composition_interfaces/srv/LoadNode``.

    :param plugin: ``package::Class`` or ``Class``.
    :param node_name: empty: the node's own.
    :param node_namespace: empty: the root.
    :param log_level: severity of rcl_interfaces/msg/Log from which the node logs; 0: the default.
    :param remap_rules: as after ``-r``: ``from:=to``.
    :param extra_arguments: ``use_intra_process_comms`` (bool, accepted: Python has no such
        thing) and ``forward_global_arguments`` (bool: the node also gets the container's own
        parameter files and remappings), for which ``use_global_arguments`` is another name.
    """

    package: str
    plugin: str
    node_name: str = ''
    node_namespace: str = ''
    log_level: int = 0
    remap_rules: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    extra_arguments: tuple[Parameter, ...] = ()

    @classmethod
    def from_message(cls, message: Any) -> ComponentRequest:
        """
        Read a ``composition_interfaces/srv/LoadNode`` request.

        :raises ValueError: for a parameter of an unknown type.
        """
        return cls(
            message.package_name,
            message.plugin_name,
            message.node_name,
            message.node_namespace,
            message.log_level,
            tuple(message.remap_rules),
            tuple(Parameter.from_parameter_msg(p) for p in message.parameters),
            tuple(Parameter.from_parameter_msg(p) for p in message.extra_arguments),
        )


@dataclass(frozen=True)
class Component:
    """
    A loaded node.

    :param unique_id: from 1; never given twice by one manager.
    :param full_name: name of the node with its namespace.
    """

    unique_id: int
    full_name: str
    node: Node = field(compare=False)


def name_rules(request: ComponentRequest) -> list[str]:
    """Give the remap rules for name and namespace, which come before all others."""
    rules = []
    try:
        if request.node_name:
            validate_node_name(request.node_name)
            rules += ['-r', f'__node:={request.node_name}']
        if request.node_namespace:
            namespace = absolute(request.node_namespace)
            validate_namespace(namespace)
            rules += ['-r', f'__ns:={namespace}']
    except (InvalidNodeNameException, InvalidNamespaceException) as error:
        raise ComponentError(brief(error)) from None
    return rules


def absolute(namespace: str) -> str:
    """Let a namespace begin at the root."""
    return namespace if namespace.startswith('/') else f'/{namespace}'


def severity(level: int) -> LoggingSeverity | None:
    """Return the severity of a request; None: it has none. ComponentError: no such one."""
    if level == 0:
        return None
    try:
        return LoggingSeverity(level)
    except ValueError:
        known = ', '.join(f'{s.value} ({s.name})' for s in LoggingSeverity if s.value)
        raise ComponentError(f'log_level {level} is none of {known}') from None


def boolean(argument: Parameter) -> bool:
    """Return the value of an extra argument; ComponentError: it is no boolean."""
    if argument.type_ is not Parameter.Type.BOOL:
        raise ComponentError(
            f'extra argument {argument.name}: {argument.value!r} is neither true nor false'
        )
    return bool(argument.value)


def traceback_of(error: BaseException) -> str:
    """Give the traceback for the log."""
    return ''.join(traceback.format_exception(error))


def brief(error: BaseException) -> str:
    """Say an error in one line, with its kind where the message alone would not do."""
    text = ' '.join(str(error).split())
    if text and is_of_rclpy(error):
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def is_of_rclpy(error: BaseException) -> bool:
    """Tell errors whose message says it all: names, namespaces and parameters that are refused."""
    by_rclpy = type(error).__module__.split('.')[0] == 'rclpy'
    return by_rclpy or isinstance(error, ParameterException)
