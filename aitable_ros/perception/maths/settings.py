# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Settings whose numbers declare what they may be; the nodes make parameters of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TypeVar

Number = TypeVar('Number', int, float)

DECIMALS = 4


def setting(
    default: Number,
    minimum: float,
    maximum: float,
    *,
    dynamic: bool = True,
    basic: bool = False,
) -> Number:
    """
    Declare a number of a :class:`Settings` class, which becomes a parameter.

    What it does stands in the class's docstring, as ``:param name: ...``.

    :param default: its default, rounded to what a parameter file shows; the type is the
        parameter's.
    :param minimum: smallest value, inclusive.
    :param maximum: largest value, inclusive.
    :param dynamic: what works can take it over; False: read when the node is configured.
    :param basic: one of the parameters that people really change.
    """
    metadata = {'limits': (minimum, maximum), 'dynamic': dynamic, 'basic': basic}
    return field(default=round(default, DECIMALS), metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """
    Base of dataclasses with such numbers.

    :raises ValueError: when one lies outside of its range; names it.
    """

    def __post_init__(self) -> None:
        for entry in fields(self):
            if not entry.metadata:
                continue
            value, (low, high) = getattr(self, entry.name), entry.metadata['limits']
            if not low <= value <= high:
                raise ValueError(f'{entry.name}: {value} is out of range, {low:g}..{high:g}')
