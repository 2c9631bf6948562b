# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters as a table: declared once with description, range and default, checked on set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from aitable_ros.inference.selection import AUTO, BACKENDS

ParameterValue = bool | int | float | str | list[str]


@dataclass(frozen=True)
class ParameterSpec:
    """
    One row of a node's parameter table.

    :param name: parameter name; dots group.
    :param default: default value; its Python type is the parameter's type.
    :param description: what it does, with unit; shown by ``ros2 param describe``.
    :param minimum: smallest allowed value (numbers only), inclusive.
    :param maximum: largest allowed value (numbers only), inclusive.
    :param choices: the allowed values (strings only).
    :param dynamic: takes effect on the next frame. Others are read when the node is
        configured; a value set later takes effect on the next ``configure``.
    :param read_only: fixed when the node is constructed.
    """

    name: str
    default: ParameterValue
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False
    read_only: bool = False

    def problem_with(self, value: Any) -> str | None:
        """
        Say what is wrong with a value.

        :returns: the reason for refusing the value, or None when it is fine.
        """
        if self.choices and value not in self.choices:
            return f'{self.name}: {value!r} is not one of {", ".join(self.choices)}'
        # rclpy checks ranges itself; where there is none, NaN would get through
        if isinstance(value, float) and value != value:
            return f'{self.name}: NaN is not a value'
        return None

    def descriptor(self) -> ParameterDescriptor:
        """Give the ROS descriptor: description, constraints, range, read-only flag."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.choices:
            descriptor.additional_constraints = 'one of: ' + ', '.join(self.choices)
        if self.minimum is not None or self.maximum is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(
                        from_value=float('-inf') if self.minimum is None else float(self.minimum),
                        to_value=float('inf') if self.maximum is None else float(self.maximum),
                    )
                ]
            else:
                descriptor.integer_range = [
                    IntegerRange(
                        from_value=-(2**63) if self.minimum is None else int(self.minimum),
                        to_value=2**63 - 1 if self.maximum is None else int(self.maximum),
                    )
                ]
        return descriptor


COMMON_PARAMETERS = (
    ParameterSpec(
        'autostart',
        True,
        'configure and activate the node by itself as soon as it is spun',
        read_only=True,
    ),
)

IMAGE_PARAMETERS = (
    ParameterSpec(
        'image_transport',
        'raw',
        'raw: sensor_msgs/Image on image_raw; compressed: sensor_msgs/CompressedImage on '
        'image_raw/compressed',
        choices=('raw', 'compressed'),
    ),
)

BACKEND_PARAMETERS = (
    ParameterSpec(
        'engines_dir',
        '',
        'folder with the model files; empty: environment variable AITABLE_ENGINES_DIR, else the '
        "package's engines folder",
    ),
    ParameterSpec(
        'models_file',
        '',
        "catalog of networks and their backends; empty: the package's config/models.yaml",
    ),
    ParameterSpec(
        'threads',
        1,
        'CPU threads for a network that runs on the CPU; more than one rarely pays',
        minimum=1,
        maximum=64,
    ),
)


class ParameterTable:
    """
    A node's declared parameters.

    :param node: the node to declare them on.
    :param specs: the rows; names are unique.
    :raises rclpy.exceptions.InvalidParameterValueException: when an override (launch file,
        command line) is out of range or not one of the choices; names parameter and value.
    """

    def __init__(self, node: Node, specs: Sequence[ParameterSpec]) -> None:
        self._node = node
        self.specs: Mapping[str, ParameterSpec] = {spec.name: spec for spec in specs}
        node.add_on_set_parameters_callback(self._on_set)
        for spec in specs:
            node.declare_parameter(spec.name, spec.default, spec.descriptor())

    def __getitem__(self, name: str) -> Any:
        """Return the current value."""
        return self._node.get_parameter(name).value

    def values(self) -> dict[str, Any]:
        """Return a snapshot of all values by name."""
        return {name: self[name] for name in self.specs}

    def _on_set(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        problems = [
            problem
            for parameter in parameters
            if parameter.name in self.specs
            and (problem := self.specs[parameter.name].problem_with(parameter.value))
        ]
        return SetParametersResult(successful=not problems, reason='; '.join(problems))


def image_qos(node: Node, topic: str) -> QoSProfile:
    """
    Give the QoS for subscribing to images: best effort, keep last 1, overridable.

    A best-effort subscriber accepts reliable and best-effort publishers alike. The overrides are
    the ROS ones: ``qos_overrides.<topic>.subscription.{reliability,depth}``.

    :param node: node whose parameters override.
    :param topic: fully resolved topic name.
    :returns: a new profile.
    :raises rclpy.exceptions.InvalidParameterValueException: for an override that is no QoS.
    """
    prefix = f'qos_overrides.{topic}.subscription'
    reliability = _declare_once(
        node,
        ParameterSpec(
            f'{prefix}.reliability',
            'best_effort',
            f'reliability of the subscription to {topic}',
            choices=('best_effort', 'reliable'),
            read_only=True,
        ),
    )
    depth = _declare_once(
        node,
        ParameterSpec(
            f'{prefix}.depth',
            1,
            f'history depth of the subscription to {topic}',
            minimum=1,
            maximum=100,
            read_only=True,
        ),
    )
    policies = {
        'best_effort': ReliabilityPolicy.BEST_EFFORT,
        'reliable': ReliabilityPolicy.RELIABLE,
    }
    if reliability not in policies:
        raise ValueError(f'{prefix}.reliability: {reliability!r} is not one of {set(policies)}')
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policies[reliability]
    )


def _declare_once(node: Node, spec: ParameterSpec) -> Any:
    if not node.has_parameter(spec.name):
        node.declare_parameter(spec.name, spec.default, spec.descriptor())
    return node.get_parameter(spec.name).value


def backend_parameter(networks: str, *further: str) -> ParameterSpec:
    """
    Make the ``backend`` parameter of a node.

    :param networks: what it is for, in words.
    :param further: backends that only this node knows.
    """
    return ParameterSpec(
        'backend',
        AUTO,
        f'what runs {networks}; auto takes the first of the catalog chain that loads',
        choices=(AUTO, *BACKENDS, *further),
    )
