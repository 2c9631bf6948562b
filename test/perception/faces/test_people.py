# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from aitable_ros.perception.faces.people import People


def test_a_person_keeps_one_state_while_seen():
    people = People(list, forget_after_s=2.0)
    for stamp_s in (1.0, 2.0, 3.5):
        assert people.advance(stamp_s) is False
        people.see('f1').append(stamp_s)
    assert people.see('f1') == [1.0, 2.0, 3.5]
    assert people.see('f2') == []
    assert len(people) == 2


def test_who_was_not_seen_for_longer_is_forgotten():
    people = People(list, forget_after_s=2.0)
    people.advance(1.0)
    people.see('stays').append(1)
    people.see('leaves').append(1)
    people.advance(2.5)
    people.see('stays')
    people.advance(3.1)
    assert len(people) == 1
    assert people.see('stays') == [1]
    assert people.see('leaves') == []


def test_when_time_goes_backwards_everybody_is():
    people = People(list, forget_after_s=2.0)
    people.advance(10.0)
    people.see('f1').append(1)
    assert people.advance(10.0) is False
    assert people.advance(9.9) is True
    assert people.see('f1') == []


def test_states_can_be_replaced():
    people = People(list, forget_after_s=2.0)
    people.advance(1.0)
    people.see('f1')
    people.change(lambda state: [*state, 'changed'])
    assert list(people) == [['changed']]
