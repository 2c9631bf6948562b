# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Every number of the settings is refused outside of the range that it declares."""

from __future__ import annotations

import math
from dataclasses import fields
from importlib import import_module

import pytest

from aitable_ros.perception.maths.settings import Settings

# these import all that there are
for name in ('fatigue', 'posture'):
    import_module(f'aitable_ros.perception.{name}.monitor')
NUMBERS = [(cls, field) for cls in Settings.__subclasses__() for field in fields(cls)]


def test_there_are_settings():
    assert len(NUMBERS) > 100


@pytest.mark.parametrize(
    ('settings_class', 'field'),
    [(cls, field) for cls, field in NUMBERS if field.metadata],
    ids=lambda value: getattr(value, 'name', getattr(value, '__name__', '')),
)
def test_a_number_out_of_its_range_is_refused_by_name(settings_class, field):
    settings_class()
    low, high = field.metadata['limits']
    assert low <= field.default <= high
    for wrong in (low - 1, math.nextafter(high, math.inf), math.nan, math.inf):
        with pytest.raises(ValueError, match=f'{field.name}: .* is out of range'):
            settings_class(**{field.name: wrong})
