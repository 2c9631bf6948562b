# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Parameters made from the settings dataclasses of the ROS-free parts.

A settings class documents every field as ``:param name: what it does (source of its default)``;
that is the parameter's description. Ranges follow from the field's unit, which is the end of its
name; what has to hold between fields is checked by the class itself.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from aitable_ros.ros_support.parameters import ParameterSpec

T = TypeVar('T')

RANGES: Mapping[str, tuple[float, float]] = {
    '_s': (0.0, 36000.0),
    '_hz': (0.0, 1000.0),
    '_rad': (0.0, 3.1416),
    '_px': (0.0, 10000.0),
    '_m': (0.0, 1000.0),
    'percentile': (0.0, 100.0),
    '_weight': (0.0, 1000.0),
    '_ratio': (0.0, 10.0),
    '_mar': (0.0, 10.0),
}
"""Range by the end of a field's name."""

SHARE_RANGE = (0.0, 1.0)
COUNT_RANGE = (0, 1000)
DECIMALS = 4


def settings_parameters(
    prefix: str,
    settings_class: type,
    *,
    skip: Collection[str] = (),
    dynamic: bool | Collection[str] = False,
) -> tuple[ParameterSpec, ...]:
    """
    Make a parameter for every number among the fields of a settings class.

    :param prefix: the parameters are named ``<prefix>.<field>``.
    :param settings_class: a dataclass whose docstring documents its fields.
    :param skip: fields that are set otherwise.
    :param dynamic: the fields that take effect on the next frame; True: all of them.
    :raises ValueError: when a field is not documented.
    """
    descriptions = _descriptions(settings_class)
    specs = []
    for field in fields(settings_class):
        if field.name in skip or field.default is MISSING:
            continue
        if field.name not in descriptions:
            raise ValueError(f'{settings_class.__name__}.{field.name} is not documented')
        default = field.default
        if isinstance(default, float):
            default = round(default, DECIMALS)
        low, high = _range(field.name, default)
        specs.append(
            ParameterSpec(
                f'{prefix}.{field.name}',
                default,
                descriptions[field.name],
                minimum=low,
                maximum=high,
                dynamic=dynamic is True or (dynamic is not False and field.name in dynamic),
            )
        )
    return tuple(specs)


def settings_from(
    values: Mapping[str, Any], prefix: str, settings_class: type[T], **others: Any
) -> T:
    """
    Make the settings that a node's parameters describe.

    :param values: all parameters by name.
    :param prefix: as for :func:`settings_parameters`.
    :param others: fields that have no parameter of their own.
    :raises ValueError: when the values do not go together; the message names them.
    """
    names = {field.name for field in fields(settings_class)}  # type: ignore[arg-type]
    chosen = {
        name[len(prefix) + 1 :]: value
        for name, value in values.items()
        if name.startswith(prefix + '.') and name[len(prefix) + 1 :] in names
    }
    try:
        return settings_class(**{**chosen, **others})
    except ValueError as error:
        raise ValueError(f'parameters {prefix}.*: {error}') from error


def _descriptions(settings_class: type) -> dict[str, str]:
    text = inspect.cleandoc(settings_class.__doc__ or '')
    found = re.findall(r'^:param (\w+): (.*?)(?=^:|\Z)', text, re.MULTILINE | re.DOTALL)
    return {name: _plain(words) for name, words in found}


def _plain(words: str) -> str:
    """Take the markup off a description and put it on one line."""
    words = re.sub(r':\w+:`~?([^`]*)`', r'\1', ' '.join(words.split()))
    return words.replace('``', '').rstrip('.')


def _range(name: str, default: Any) -> tuple[float, float]:
    if isinstance(default, int):
        return COUNT_RANGE
    for end, limits in RANGES.items():
        if name.endswith(end):
            return limits
    return SHARE_RANGE if 0.0 <= default <= 1.0 else (0.0, math.inf)
