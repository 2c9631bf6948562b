# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from aitable_ros.perception.faces.people import MAX_PEOPLE, People


def test_a_person_keeps_one_state_while_seen():
    people = People(list, forget_after_s=2.0)
    for stamp_s in (1.0, 2.0, 3.5):
        assert people.advance(stamp_s) == stamp_s
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


def test_a_late_image_forgets_nobody_another_stream_everybody():
    people = People(list, forget_after_s=2.0)
    people.advance(10.0)
    people.see('f1').append(1)
    for stamp_s in (9.9, 0.0, 3610.0):
        assert people.advance(stamp_s) == 10.0
        assert people.see('f1') == [1]
    for stamp_s in (1.0, 1.1, 1.2):
        people.advance(stamp_s)
    assert people.see('f1') == []


def test_an_id_that_is_given_a_second_time_is_somebody_else():
    people = People(list, forget_after_s=2.0)
    people.advance(10.0)
    people.see('f1', tracked_s=5.0).append(1)
    people.advance(9.97)
    assert people.see('f1', tracked_s=4.97) == [1], 'a late image'
    people.advance(10.1)
    assert people.see('f1', tracked_s=5.1) == [1]
    people.advance(10.2)
    assert people.see('f1', tracked_s=0.0) == []


def test_of_too_many_those_seen_last_are_kept():
    people = People(list, forget_after_s=2.0)
    people.advance(10.0)
    people.see('stays').append(1)
    for i in range(3 * MAX_PEOPLE):
        people.see(f'x{i}')
        people.see('stays')
    assert len(people) == MAX_PEOPLE
    assert people.see('stays') == [1]


def test_states_can_be_replaced():
    people = People(list, forget_after_s=2.0)
    people.advance(1.0)
    people.see('f1')
    people.change(lambda state: [*state, 'changed'])
    assert list(people) == [['changed']]
