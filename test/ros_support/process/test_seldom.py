# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What others can cause fills no log."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from aitable_ros.ros_support.process import seldom
from aitable_ros.ros_support.process.seldom import INTERVAL_S, SeldomLog


class Logger:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []
        self.warning = self.error = self.told.append


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(seldom.time, 'monotonic', lambda: now[0])
    return now


def test_at_most_one_line_of_a_kind_in_the_interval_and_the_number_left_out(clock):
    logger = Logger()
    log = SeldomLog(lambda: logger)
    for index in range(300):
        log.warn('size', f'another size: {index}')
        clock[0] += 0.01
    assert logger.told == ['another size: 0']
    clock[0] += INTERVAL_S
    log.warn('size', 'another size: again')
    assert logger.told[1:] == ['another size: again (299 more of this kind were left out)']


def test_kinds_do_not_wait_for_each_other(clock):
    logger = Logger()
    log = SeldomLog(lambda: logger)
    log.warn('size', 'one')
    log.error('stamp', 'two', 'Traceback')
    assert logger.told == ['one', 'two\nTraceback']


def test_a_line_is_a_line(clock):
    logger = Logger()
    SeldomLog(lambda: logger).warn('size', 'very\nlong ' * 100_000)
    (line,) = logger.told
    assert len(line) < 2100
    assert '\n' not in line
    assert '1,000,000 characters' in line
