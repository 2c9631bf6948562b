# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How a node leaves a container that goes on spinning."""

from __future__ import annotations

import time
import weakref
from concurrent.futures import Future, wait
from typing import Any

from rclpy.callback_groups import CallbackGroup

from aitable_ros.ros_support.container.request import Component
from aitable_ros.ros_support.node.managed_node import ManagedNode

SWEEP_PERIOD_S = 0.02
UNLOAD_WAIT_S = 2.0
_LOOKS = 5  # of SWEEP_PERIOD_S each, for a destroyed node to be let go of


class Departure:
    """
    A component on its way out, which no executor spins any more.

    A managed node frees its networks in its own thread, after whatever it is doing there.

    With a multi-threaded executor its callbacks may be running, and the thread that waits may
    be looking at its entities. So its callback groups are taken and never given back, and the
    executor has to have gone round since it was told to forget the node.
    """

    def __init__(self, component: Component, is_threaded: bool) -> None:
        self.name = component.full_name
        self.node: Any = component.node
        self._node = weakref.ref(component.node)
        self._looks = 0
        self.left: Future[str] = Future()
        self._is_threaded = is_threaded
        self._rounds = 0
        self._taken: set[CallbackGroup] = set()
        self._deadline_s = time.monotonic() + UNLOAD_WAIT_S
        self._freed: Future[bool] | None = None

    def begin(self) -> None:
        """Let a managed node free what it holds."""
        if isinstance(self.node, ManagedNode):
            self._freed = self.node.request_transition('shutdown')

    def is_ready(self) -> bool:
        """Tell whether nothing of the node runs, so that it may be destroyed."""
        if self._freed is not None and not self._freed.done():
            return False
        if not self._is_threaded:
            return True
        # the timer that asks was made ready by the executor's waiting thread: when it fires
        # again, that thread has begun a round that does not know the node
        self._rounds += 1
        return self._take_groups() and self._rounds > 1

    def is_late(self) -> bool:
        """Tell whether it is time to answer, though the node is not destroyed."""
        return not self.left.done() and time.monotonic() > self._deadline_s

    def wait(self, deadline_s: float | None) -> bool:
        """
        Wait, while no executor spins, until nothing of the node runs.

        :param deadline_s: of what the node does in its own thread; None: it is waited for when
            the node is destroyed.
        """
        while self._is_threaded and not self._take_groups():
            if time.monotonic() > self._deadline_s:
                break
            time.sleep(SWEEP_PERIOD_S)
        if deadline_s is None or not isinstance(self.node, ManagedNode):
            return True
        idle = self.node.operations.submit(lambda: None)
        return not wait([idle], max(0.0, deadline_s - time.monotonic())).not_done

    def answer(self) -> None:
        """Answer who asked for it, once."""
        if not self.left.done():
            self.left.set_result(self.name)

    def is_gone(self) -> bool:
        """
        Tell whether nobody holds the destroyed node any more; asked after each collection.

        A thread that is about to end may hold it that one time. Who holds it for longer keeps it
        in memory, and on the ROS graph.
        """
        self._looks += 1
        return self._node() is None or self._looks >= _LOOKS

    def forget(self) -> None:
        """Let go of the node, whoever still holds the departure."""
        self._taken.clear()
        self._freed = None
        self.node = None

    def _take_groups(self) -> bool:
        all_taken = True
        kinds = ('subscriptions', 'clients', 'services', 'timers', 'guards', 'waitables')
        for entity in [entity for kind in kinds for entity in getattr(self.node, kind)]:
            group = entity.callback_group
            if group is not None and group not in self._taken:
                if group.beginning_execution(entity):
                    self._taken.add(group)
                else:
                    all_taken = False
        return all_taken
