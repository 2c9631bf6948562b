# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from enum import IntEnum

import pytest

from aitable_ros.web.history import COLUMNS, History


class Level(IntEnum):
    UNKNOWN = 0
    ALERT = 1


def person(face_id='f1', **fatigue):
    return {'id': face_id, 'emotion': None, 'fatigue': fatigue or None, 'posture': None}


@pytest.fixture
def history():
    return History(10.0, {'level': Level})


def test_a_row_has_every_column_and_enumerations_by_name(history):
    (row,) = history.add(5.0, [person(level=1, left_ear=0.3)])
    values = dict(zip(COLUMNS, row))
    assert len(row) == len(COLUMNS)
    assert values['stamp'] == 5.0
    assert values['face_id'] == 'f1'
    assert values['level'] == 'alert'
    assert values['left_ear'] == 0.3
    assert values['expression'] is None


def test_twice_a_second_for_everybody(history):
    counts = [len(history.add(n / 30, [person('f1'), person('f2')])) for n in range(31)]
    assert sum(counts) == 6
    assert {row[1] for row in history.rows()} == {'f1', 'f2'}


def test_the_last_seconds_only(history):
    for n in range(60):
        history.add(float(n), [person()])
    assert [row[0] for row in history.rows()] == [float(n) for n in range(49, 60)]
    history.add(100.0, [])
    assert history.rows() == []


def test_time_that_goes_back_begins_anew(history):
    history.add(100.0, [person()])
    history.add(5.0, [person()])
    assert [row[0] for row in history.rows()] == [5.0]
    history.clear()
    assert history.rows() == []
    assert history.add(5.0, [person()])
