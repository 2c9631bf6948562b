# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Parameters made from the settings dataclasses of the ROS-free parts.

A settings class declares every number with its range
(:func:`~aitable_ros.perception.maths.settings.setting`) and documents it as ``:param name: what it
does (source of its default)``; that is the parameter's description.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from aitable_ros.perception.maths.settings import Settings
from aitable_ros.ros_support.parameters.table import ParameterSpec

T = TypeVar('T', bound=Settings)


def settings_parameters(
    groups: Mapping[str, type[Settings]], skip: Collection[str] = ()
) -> tuple[ParameterSpec, ...]:
    """
    Make a parameter of every number that settings classes declare.

    :param groups: the settings classes by group; the parameters are named ``<group>.<field>``.
    :param skip: fields that are set otherwise.
    :raises KeyError: when a field is not documented.
    """
    return tuple(
        ParameterSpec(
            f'{group}.{field.name}',
            getattr(settings_class, field.name),
            _descriptions(settings_class)[field.name],
            **field.metadata,
        )
        for group, settings_class in groups.items()
        for field in fields(settings_class)
        if field.metadata and field.name not in skip
    )


def settings_from(
    values: Mapping[str, Any], prefix: str, settings_class: type[T], **others: Any
) -> T:
    """
    Make the settings that a node's parameters describe.

    :param values: all parameters by name.
    :param prefix: the group's name.
    :param others: fields that have no parameter of their own.
    :raises ValueError: when the values do not go together; the message names them.
    """
    names = {field.name: f'{prefix}.{field.name}' for field in fields(settings_class)}
    chosen = {field: values[name] for field, name in names.items() if name in values}
    try:
        return settings_class(**{**chosen, **others})
    except ValueError as error:
        raise ValueError(f'parameters {prefix}.*: {error}') from error


def _descriptions(settings_class: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in reversed(settings_class.__mro__):  # what is inherited is described there
        text = inspect.cleandoc(one.__doc__ or '')
        params = re.findall(r'^:param (\w+): (.*?)(?=^:|\Z)', text, re.MULTILINE | re.DOTALL)
        found |= {name: _plain(words) for name, words in params}
    return found


def _plain(words: str) -> str:
    """Take the markup off a description and put it on one line."""
    words = re.sub(r':\w+:`~?([^`]*)`', r'\1', ' '.join(words.split()))
    return words.replace('``', '').rstrip('.')
