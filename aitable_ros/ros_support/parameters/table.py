# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters as a table: declared once with description, range and default, checked on set."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from aitable_ros.inference.engine import one_line

FOLDERS = 'allowed_folders'
"""The parameter that names folders in which other processes may name files."""

NEARNESS = 0.85
"""How like a known name a misspelt one is, by difflib."""

NAME_LENGTH = 80

ParameterValue = bool | int | float | str | list[str]


@dataclass(frozen=True)
class ParameterSpec:
    """
    One row of a node's parameter table.

    :param name: parameter name; dots group.
    :param default: default value; its Python type is the parameter's type.
    :param description: what it does, with unit; shown by ``ros2 param describe``.
    :param limits: smallest and largest allowed value (numbers only), inclusive.
    :param choices: the allowed values (strings only).
    :param dynamic: takes effect on the next frame. Others are read when the node is
        configured; a value set later takes effect on the next ``~/reload`` or ``configure``.
    :param read_only: fixed when the node is constructed.
    :param no_file: the value names a file or a folder, unless it matches this regular expression;
        None: it never does. Other processes can set it only as the operator allowed: see
        :class:`ParameterTable`.
    :param basic: one of the few that people really change, which README.md and
        config/aitable.yaml show.
    """

    name: str
    default: ParameterValue
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False
    read_only: bool = False
    no_file: str | None = None
    basic: bool = False

    def problem_with(self, value: Any) -> str | None:
        """Say why a value is refused; None when it is fine."""
        if value is None:  # "not set" would undeclare the parameter
            return f'{self.name}: cannot be deleted'
        if self.choices and value not in self.choices:
            return f'{self.name}: {value!r} is not one of {", ".join(self.choices)}'
        # rclpy checks ranges itself; where there is none, these would get through
        if isinstance(value, float) and not math.isfinite(value):
            return f'{self.name}: {value} is not a value'
        return None

    @property
    def effect(self) -> str:
        """When a value that is set takes effect: dynamic, read-only, or on reload."""
        if self.read_only:
            return 'read-only'
        return 'dynamic' if self.dynamic else 'on reload'

    def descriptor(self) -> ParameterDescriptor:
        """Give the ROS descriptor: description, constraints, range, read-only flag."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        constraints = ['one of: ' + ', '.join(self.choices)] if self.choices else []
        if self.effect == 'on reload':
            constraints.append('takes effect on ~/reload')
        descriptor.additional_constraints = '; '.join(constraints)
        if self.limits is not None:
            kind = float if isinstance(self.default, float) else int
            low, high = map(kind, self.limits)
            if kind is float:
                limits = FloatingPointRange(from_value=low, to_value=high)
                descriptor.floating_point_range = [limits]
            else:
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        return descriptor


class ParameterTable:
    """
    A node's declared parameters.

    :param node: the node to declare them on.
    :param specs: the rows; names are unique.
    Integers do where floats are wanted, and values that the node was started with for parameters
    that there are not are warned of, with the nearest name. Parameters that name files, as other
    processes set them, are limited to the folders of what the node was started with, and to those
    of the parameter :data:`FOLDERS` if there is one.

    :param check: told all values as they would be, and the names of those that are to change;
        raises ValueError when the values do not go together, which refuses the change. Not asked
        about the values that the node starts with.
    :raises rclpy.exceptions.InvalidParameterValueException: when an override (launch file,
        command line) is out of range or not one of the choices; names parameter and value.
    """

    def __init__(
        self,
        node: Node,
        specs: Sequence[ParameterSpec],
        check: Callable[[Mapping[str, Any], Set[str]], None] | None = None,
    ) -> None:
        self._node = node
        self._check: Callable[[Mapping[str, Any], Set[str]], None] | None = None
        self._changed = False
        self._seen: dict[str, Any] | None = None
        self.specs: Mapping[str, ParameterSpec] = {spec.name: spec for spec in specs}
        node.add_on_set_parameters_callback(self._on_set)
        # rclpy has no other way to what the node was started with
        overrides = node._parameter_overrides
        for name, parameter in overrides.items():
            overrides[name] = self._as_declared(parameter)
        for spec in specs:
            try:
                node.declare_parameter(spec.name, spec.default, spec.descriptor())
            except InvalidParameterTypeException as error:
                raise WrongTypeError(_wrong_type(spec, overrides[spec.name])) from error
        self._warn_of_unknown(overrides)
        self._started_with = self.values()
        self._check = check
        self._tells = hasattr(node, 'add_post_set_parameters_callback')
        if self._tells:
            node.add_post_set_parameters_callback(self._on_changed)

    def take_change(self) -> bool:
        """Tell of values set, or :meth:`touch`, since the last call; before reading the values."""
        if self._tells:
            changed, self._changed = self._changed, False
            return changed
        # Humble does not tell when values were set
        before, self._seen = self._seen, self.values()
        return before != self._seen

    def touch(self) -> None:
        """Let the next :meth:`take_change` return True."""
        self._changed = True
        self._seen = None

    def __getitem__(self, name: str) -> Any:
        """Return the current value."""
        return self._node.get_parameter(name).value

    def values(self) -> dict[str, Any]:
        """Return a snapshot of all values by name."""
        return {name: self[name] for name in self.specs}

    def effective(self, loaded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the current values of the dynamic parameters, of the others the loaded ones."""
        return {
            name: self[name] if spec.dynamic else loaded[name] for name, spec in self.specs.items()
        }

    def from_outside(self, parameters: Sequence[Parameter]) -> list[Parameter]:
        """
        Take parameters as another process sets them.

        :returns: what is to be set.
        :raises ValueError: when one is of another type, or names a file outside of the folders
            that are allowed.
        """
        parameters = [self._as_declared(parameter) for parameter in parameters]
        for parameter in parameters:
            spec = self.specs.get(parameter.name)
            if spec is not None and spec.no_file is not None and isinstance(parameter.value, str):
                self._check_file(spec, parameter.value)
            # rclpy would say "expected '2' got '4'", from Kilted on
            if spec is not None and parameter.type_ not in (
                Parameter.Type.NOT_SET,
                Parameter.Type.from_parameter_value(spec.default),
            ):
                raise ValueError(_wrong_type(spec, parameter))
        return parameters

    def _check_file(self, spec: ParameterSpec, value: str) -> None:
        start = self._started_with[spec.name]
        assert spec.no_file is not None
        if value == start or re.fullmatch(spec.no_file, value):
            return
        try:
            path = Path(value).expanduser().resolve()
            folders = [
                Path(one).expanduser() for one in self._started_with.get(FOLDERS, ()) if one
            ]
            if not re.fullmatch(spec.no_file, start):
                begin = Path(start).expanduser()
                folders += [begin.parent] if begin.is_file() else [begin]
            allowed = any(path.is_relative_to(folder.resolve()) for folder in folders)
        except (OSError, RuntimeError, ValueError):  # no home, a loop, a zero byte
            allowed = False
        if not allowed:
            raise ValueError(
                f'{spec.name}: only files in folders that the node was started with may be named '
                f'from outside; parameter {FOLDERS} allows further ones'
            )

    def _as_declared(self, parameter: Parameter) -> Parameter:
        spec = self.specs.get(parameter.name)
        if spec is None or not isinstance(spec.default, float) or type(parameter.value) is not int:
            return parameter
        return Parameter(parameter.name, value=float(parameter.value))

    def _warn_of_unknown(self, names: Iterable[str]) -> None:
        for name in names:
            # QoS overrides are declared when their topic is subscribed to
            if self._node.has_parameter(name) or name.startswith('qos_overrides.'):
                continue
            near = difflib.get_close_matches(name, self.specs, 1, NEARNESS)
            if near:
                self._node.get_logger().warning(
                    f'there is no parameter {name[:NAME_LENGTH]}: did you mean {near[0]}?'
                )

    def _on_set(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        problems = [
            problem
            for parameter in parameters
            if parameter.name in self.specs
            and (problem := self.specs[parameter.name].problem_with(parameter.value))
        ]
        if not problems and self._check is not None:
            changes = {p.name: p.value for p in parameters if p.name in self.specs}
            try:
                self._check({**self.values(), **changes}, changes.keys())
            except ValueError as error:
                problems.append(str(error))
        return SetParametersResult(successful=not problems, reason='; '.join(problems))

    def _on_changed(self, parameters: Sequence[Parameter]) -> None:
        self._changed = True


class WrongTypeError(ParameterException):
    """A node was started with a value of another type than its parameter's; says which."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)  # rclpy's adds the name once more


def _wrong_type(spec: ParameterSpec, given: Parameter) -> str:
    kind = {bool: 'true or false', int: 'an integer', float: 'a number', str: 'a text'}
    wanted = kind.get(type(spec.default), 'a list of texts')
    came = given.type_.name.lower().replace('_', ' ')
    return (
        f'{spec.name}: {one_line(repr(given.value))[:80]} is of type {came}, it has to be {wanted}'
    )
