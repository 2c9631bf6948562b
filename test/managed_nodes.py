# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A light managed node for the tests of the base of all nodes."""

from __future__ import annotations

import time
from collections import Counter
from typing import ClassVar

from std_msgs.msg import Int32

from aitable_ros.inference.engine import InferenceError
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.table import ParameterSpec


class Networks:
    """Stands for loaded networks: knows whether it was closed."""

    open_now = 0

    def __init__(self, factor, selections=()):
        self.factor = factor
        self.selections = selections
        self.closed = False
        Networks.open_now += 1

    def close(self):
        assert not self.closed, 'closed twice'
        self.closed = True
        Networks.open_now -= 1


class Summer(ManagedNode):
    """
    Publishes factor * number + offset, and how many numbers it has seen, as factor arrives.

    Its state is the count of the numbers seen. ``fault`` makes the stage of that name raise once.
    """

    QUEUE_DEPTH: ClassVar = 50
    PARAMETERS: ClassVar = (
        ParameterSpec('factor', 2, 'what the network multiplies by'),
        ParameterSpec('offset', 0, 'what is added', dynamic=True),
        ParameterSpec('low', 1, 'lower limit', (0, 10), dynamic=True),
        ParameterSpec('high', 5, 'upper limit', (0, 10), dynamic=True),
        ParameterSpec('load_time', 0.0, 'how long loading takes [s]'),
    )

    def __init__(self, name='summer', **kwargs):
        super().__init__(name, **kwargs)
        self.fault = ''
        self.networks = ()
        self.why_missing = ''
        self.calls = Counter()
        self.seen = 0
        self.applied = []
        self.publisher = self.create_publisher(Int32, 'sum', 200)
        self.subscription = None

    def may_fail(self, stage):
        self.calls[stage] += 1
        if self.fault == stage:
            self.fault = ''
            raise InferenceError(f'{stage} failed')

    def load(self, values):
        time.sleep(values['load_time'])
        self.may_fail('load')
        return Networks(values['factor'], self.networks)

    def missing(self, loaded, values):
        return self.why_missing

    def unload(self, loaded):
        loaded.close()
        self.may_fail('unload')

    def carry_over(self, previous, loaded):
        assert not previous.closed
        self.may_fail('carry_over')

    def apply(self, values):
        self.applied.append(values['offset'])

    def check(self, values, changed):
        if values['low'] > values['high']:
            raise ValueError('low must not be above high')

    def reset(self):
        self.seen = 0

    def start(self):
        self.may_fail('start')
        self.subscription = self.create_subscription(Int32, 'number', self.offer, 200)

    def stop(self):
        self.calls['stop'] += 1
        if self.subscription is not None:
            self.destroy_subscription(self.subscription)
            self.subscription = None
        if self.fault == 'stop':
            self.fault = ''
            raise InferenceError('stop failed')

    def results(self, item):
        assert not self.loaded.closed
        self.seen += 1
        yield self.publisher, Int32(data=self.loaded.factor * item.data + self.values['offset'])
