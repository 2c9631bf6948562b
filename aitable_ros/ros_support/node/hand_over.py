# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Results that go from node to node inside a process without being sent."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from rclpy.context import Context
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy
from rclpy.subscription import Subscription

FOUND_S = 0.5
"""In this time a publisher finds a subscription of its own process."""


HEARD_S = 0.5
"""So long after a subscription was seen, nobody looks for it again."""


class _Topic:
    """Who gives and who takes a topic inside this process."""

    def __init__(self) -> None:
        self.givers: tuple[Publisher, ...] = ()
        self.takers: tuple[Taker, ...] = ()


_topics: WeakKeyDictionary[Context, dict[str, _Topic]] = WeakKeyDictionary()
_given: dict[Publisher, _Topic] = {}
_heard_s: WeakKeyDictionary[Publisher, float] = WeakKeyDictionary()
_lock = threading.RLock()


def _topic(context: Context, name: str) -> _Topic:
    return _topics.setdefault(context, {}).setdefault(name, _Topic())


class Taker:
    """
    A node's share in a topic: by a ROS subscription, or straight from the nodes of its process.

    The latter while all that publish the topic are of this process and context: then nothing is
    serialised, sent and deserialised again. Where somebody else begins to publish, both ways are
    open for a while, so that nothing is lost; what came already is not taken again.

    :param node: subscribes, in its executor's thread; so does :meth:`refresh`.
    :param message_type: class of the messages, which have a header.
    :param topic: resolved against the node.
    :param callback: gets the messages, from any thread: it must return at once, and not change
        them.
    :param depth: of the subscription.
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        depth: int = 10,
    ) -> None:
        self.topic_name = node.resolve_topic_name(topic)
        self._node = node
        self._message_type = message_type
        self._callback = callback
        self._depth = depth
        self._subscription: Subscription | None = None
        self._looked_s = math.nan
        self._taken: deque[tuple[int, int]] = deque(maxlen=64)
        self.straight = False
        """Whether messages come straight from nodes of this process."""
        with _lock:
            shared = _topic(node.context, self.topic_name)
            shared.takers = (*shared.takers, self)
        self.refresh()

    def refresh(self) -> None:
        """Let all takers go with who publishes now; to be called now and then."""
        with _lock:
            shared = _topic(self._node.context, self.topic_name)
            if self not in shared.takers:
                return
            givers = len(shared.givers)
            own = 0 < givers == self._node.count_publishers(self.topic_name)
            for taker in shared.takers:  # all of them, that they may all get the same
                taker._follow(own, givers)

    def _follow(self, own: bool, givers: int) -> None:
        if own:
            self.straight = True
            self._unsubscribe()
        elif self._subscription is None:
            self._subscription = self._node.create_subscription(
                self._message_type, self.topic_name, self._hear, self._depth
            )
            # the publishers of this process have yet to find the subscription
            self._looked_s = time.monotonic()
            self.straight = self.straight and givers > 0
        elif time.monotonic() - self._looked_s > FOUND_S or not givers:
            self.straight = False

    def take(self, message: Any) -> None:
        """Get a message of a node of this process."""
        if self.straight:
            self._taken.append(_stamp(message))
            self._callback(message)

    def _hear(self, message: Any) -> None:
        if _stamp(message) not in self._taken:
            self._callback(message)

    def close(self) -> None:
        """Stop receiving; calling it again does nothing."""
        with _lock:
            shared = _topic(self._node.context, self.topic_name)
            shared.takers = tuple(one for one in shared.takers if one is not self)
            self.straight = False
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._node.destroy_subscription(subscription)


def _stamp(message: Any) -> tuple[int, int]:
    stamp = message.header.stamp
    return stamp.sec, stamp.nanosec


def give(node: Node, publisher: Publisher) -> Callable[[], None]:
    """
    Hand what is published by :func:`publish` to the takers of this process from now on.

    :param node: the publisher's, in its executor's thread.
    :param publisher: of it.
    :returns: what ends it, in that thread, too; calling it again does nothing.
    """
    shared = _topic(node.context, publisher.topic_name)

    def change(add: tuple[Publisher, ...]) -> None:
        with _lock:
            others = tuple(one for one in shared.givers if one is not publisher)
            shared.givers = (*others, *add)
            _given.pop(publisher, None)
            _given.update(dict.fromkeys(add, shared))
            if node.context.ok() and shared.takers:
                shared.takers[0].refresh()

    change((publisher,))
    return lambda: change(())


def _is_heard(publisher: Publisher) -> bool:
    """Tell whether somebody subscribes, or did a moment ago: to ask for each message costs."""
    now_s = time.monotonic()
    if not now_s - _heard_s.get(publisher, -math.inf) < HEARD_S:
        if not publisher.get_subscription_count():
            return False
        _heard_s[publisher] = now_s
    return True


def publish(publisher: Any, message: Any) -> None:
    """
    Hand a message to the takers of this process, and send it to whoever subscribes.

    What nobody subscribes to is not serialised, but for what is kept for those who come later.

    :param publisher: of a node, or what hands over by itself.
    :param message: nobody may change it any more.
    """
    given = _given.get(publisher)
    for taker in () if given is None else given.takers:
        taker.take(message)
    if (
        not isinstance(publisher, Publisher)  # it sends nothing
        or publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        or _is_heard(publisher)
    ):
        publisher.publish(message)
