# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest

from aitable_ros.tools.preflight_check import Check, Status


def test_a_check_is_frozen_and_says_something() -> None:
    check = Check('name', Status.OK, 'summary')
    assert check.advice == ''
    with pytest.raises(dataclasses.FrozenInstanceError):
        check.name = 'other'  # type: ignore[misc]
    for name, summary in (('', 'summary'), ('name', '')):
        with pytest.raises(ValueError, match='needs a name and a summary'):
            Check(name, Status.OK, summary)
