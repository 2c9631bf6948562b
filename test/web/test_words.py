# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The page has a word for each constant of the messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aitable_ros import web
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.fatigue.visibility import Visibility

TEXT = (Path(web.__file__).parent / 'page' / 'text.js').read_text()


@pytest.mark.parametrize(
    ('name', 'constants'),
    [('levels', FatigueLevel), ('eyes', EyeState), ('unseen', Visibility)],
)
def test_each_constant_has_its_word(name, constants):
    words = re.search(rf'export const {name} = \[(.*?)\];', TEXT, re.DOTALL)
    assert words is not None
    assert len(re.findall(r"'[^']*'", words[1])) == max(constants) + 1
