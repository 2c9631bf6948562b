# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes the messages of a bag at their time."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from aitable_ros.bags import BagError, BagMessage, BagReader, BagTopic
from aitable_ros.tools.replay.messages import (
    Restamper,
    make_restamper,
    message_class_of,
    publisher_qos,
)
from aitable_ros.tools.replay.pace import Pace

LATE_S = 0.010
"""A message that goes out this much after its time is late: a third of a period at 30 Hz."""

READ_AHEAD = 32
"""So many messages are read before their time, so that a slow disk delays none."""

_POLL_S = 0.1
_ACK_TIMEOUT_S = 1.0
_NS = 1_000_000_000
_CLOCK = '/clock'


@dataclass(frozen=True)
class Options:
    """
    How to publish.

    :param rate: how many times faster than it was recorded.
    :param loop: start again at the end, until interrupted.
    :param topics: publish only these; empty: all.
    :param exclude: do not publish these.
    :param start_s: begin so far into the bag [s].
    :param duration_s: stop after so much of the bag [s].
    :param clock_hz: publish /clock in the bag's time so often [Hz, wall clock]; 0: not at all.
    :param restamp: move header stamps to the present; else they are left as recorded.
    :param delay_s: wait before the first message [s].
    :param wait_for: wait until these topics (as published) have a subscriber.
    :param paused: begin paused.
    :raises ValueError: when a number is out of range or two options contradict each other.
    """

    rate: float = 1.0
    loop: bool = False
    topics: Sequence[str] = ()
    exclude: Sequence[str] = ()
    start_s: float = 0.0
    duration_s: float = math.inf
    clock_hz: float = 0.0
    restamp: bool = False
    delay_s: float = 0.0
    wait_for: Sequence[str] = ()
    paused: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1000:
            raise ValueError(f'rate {self.rate} is not in 0..1000')
        if self.start_s < 0 or not self.duration_s > 0 or not 0 <= self.delay_s < math.inf:
            raise ValueError('start, duration or delay is out of range')
        if not 0 <= self.clock_hz <= 10_000:
            raise ValueError(f'clock at {self.clock_hz} Hz: out of range')
        if self.restamp and self.clock_hz:
            raise ValueError('--restamp puts messages into the present, --clock into the past')


@dataclass
class Report:
    """
    What was published.

    :param messages: how many messages, of all passes.
    :param by_topic: likewise, by topic of the bag.
    :param bag_s: how much of the bag's time went by [s].
    :param wall_s: how long that took, pauses left out [s].
    :param lateness_s: of every message, how long after its time it was published [s].
    :param unheard: topics of the bag that nobody had subscribed to when their first message went
        out.
    """

    messages: int = 0
    by_topic: dict[str, int] = field(default_factory=dict)
    bag_s: float = 0.0
    wall_s: float = 0.0
    lateness_s: list[float] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)

    @property
    def late(self) -> int:
        """How many messages were published later than :data:`LATE_S` after their time."""
        return sum(lateness_s > LATE_S for lateness_s in self.lateness_s)

    def lines(self) -> list[str]:
        """Say it in lines for people."""
        lines = [
            f'{self.messages} messages in {self.wall_s:.1f} s ({self.bag_s:.1f} s of the bag)'
        ]
        if self.lateness_s:
            in_order = sorted(self.lateness_s)
            p99_s = in_order[min(len(in_order) - 1, int(0.99 * len(in_order)))]
            lines.append(
                f'late by more than {LATE_S * 1e3:.0f} ms: {self.late} of {len(in_order)}'
                f' (p99 {p99_s * 1e3:.1f} ms, worst {in_order[-1] * 1e3:.1f} ms)'
            )
        if self.unheard:
            lines.append(f'nobody had subscribed at the first message: {", ".join(self.unheard)}')
        return lines


class Player:
    """
    Publishes the messages of a bag at their time.

    Messages are published as the bytes that were recorded. Every message is published, late
    rather than never.

    :param node: publishes; of a context that may end at any time.
    :param bag: open.
    :param options: how.
    :raises BagError: when a topic is not in the bag, or nothing is left to publish.
    """

    def __init__(self, node: Any, bag: BagReader, options: Options) -> None:
        self._node = node
        self._bag = bag
        self._options = options
        self._changed = threading.Condition()
        self._pace = Pace(options.rate)
        if options.paused:
            self._pace.pause()
        self._stopping = False
        self._publishers: dict[BagTopic, Any] = {}
        self._restampers: dict[BagTopic, Restamper] = {}
        self._clock: Any = None
        self.unknown: list[BagTopic] = []
        self.report = Report()
        self._make_publishers()

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        return self._pace.paused

    def set_paused(self, paused: bool) -> None:
        """Let time stand still, or go on; from any thread."""
        with self._changed:
            if paused:
                self._pace.pause()
            else:
                self._pace.resume()
            self._changed.notify_all()

    def stop(self) -> None:
        """End :meth:`run`; from any thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def run(self) -> Report:
        """
        Publish until the end of the bag, or until stopped.

        :raises BagError: when the bag is damaged.
        """
        start_ns = self._bag.start_ns + round(self._options.start_s * _NS)
        duration_s = self._options.duration_s
        stop_ns = None if duration_s == math.inf else start_ns + round(duration_s * _NS)
        if self._wait_for_subscribers() and self._sleep(self._options.delay_s):
            while True:
                before = self.report.messages
                finished = self._play(start_ns, stop_ns)
                if not finished:
                    break
                if self.report.messages == before:
                    raise BagError(f'{self._bag.path}: no message in this part of the bag')
                if not self._options.loop:
                    self._let_arrive()
                    break
        return self.report

    def _make_publishers(self) -> None:
        for topic in self._chosen():
            message_class = message_class_of(topic.type_name)
            if message_class is None:
                self.unknown.append(topic)
                continue
            self._publishers[topic] = self._node.create_publisher(
                message_class, topic.name, publisher_qos(topic)
            )
            if self._options.restamp:
                self._restampers[topic] = make_restamper(message_class)
        if not self._publishers:
            types = ', '.join(sorted({topic.type_name for topic in self.unknown}))
            raise BagError(
                f'{self._bag.path}: nothing to publish'
                + (f'; these types are not installed: {types}' if types else '')
            )
        if self._options.clock_hz:
            from rosgraph_msgs.msg import Clock

            self._clock = self._node.create_publisher(Clock, _CLOCK, 1)

    def _chosen(self) -> list[BagTopic]:
        options = self._options
        for name in (*options.topics, *options.exclude):
            if self._bag.topic(name) is None:
                there = ', '.join(topic.name for topic in self._bag.topics)
                raise BagError(f'{self._bag.path}: there is no topic {name}; its topics: {there}')
        return [
            topic
            for topic in self._bag.topics
            if (not options.topics or topic.name in options.topics)
            and topic.name not in options.exclude
            # a recorded clock would contradict the one that is published
            and not (options.clock_hz and topic.name == _CLOCK)
        ]

    def _play(self, start_ns: int, stop_ns: int | None) -> bool:
        """Publish once; tell whether the end was reached."""
        from_ns = start_ns if self._options.start_s else None  # all: what is missing is noticed
        messages = read_ahead(self._bag.messages(tuple(self._publishers), from_ns, stop_ns))
        last_ns = start_ns
        with self._changed:
            self._pace.begin(start_ns)
        tick_s = begun_s = time.monotonic()
        epoch_ns = time.time_ns()
        try:
            for message in messages:
                next_tick_s = self._await(message.log_time_ns, tick_s)
                if next_tick_s is None:
                    return False
                tick_s = next_tick_s
                self._publish(message, epoch_ns + round(self._pace.stood_s * _NS), start_ns)
                last_ns = message.log_time_ns
            return True
        finally:
            messages.close()
            self.report.bag_s += (last_ns - start_ns) / _NS
            self.report.wall_s += time.monotonic() - begun_s - self._pace.stood_s

    def _await(self, log_time_ns: int, tick_s: float) -> float | None:
        """
        Wait for a log time, publishing the clock meanwhile.

        :param tick_s: when the clock is due next, in monotonic time.
        :returns: when the clock is due after that; None: stopped.
        """
        while True:
            if self._clock is not None and time.monotonic() >= tick_s:
                self._publish_clock()
                tick_s = max(tick_s, time.monotonic() - _POLL_S) + 1.0 / self._options.clock_hz
            with self._changed:
                if self._ended():
                    return None
                if not self._pace.paused:
                    wait_s = self._pace.due_in_s(log_time_ns)
                    if wait_s <= 0:
                        return tick_s
                else:
                    wait_s = _POLL_S
                if self._clock is not None:
                    wait_s = min(wait_s, max(0.0, tick_s - time.monotonic()))
                self._changed.wait(min(wait_s, _POLL_S))

    def _publish(self, message: BagMessage, epoch_ns: int, start_ns: int) -> None:
        topic, report = message.topic, self.report
        publisher = self._publishers[topic]
        data = message.data
        restamp = self._restampers.get(topic)
        if restamp is not None:
            data = restamp(data, lambda ns: epoch_ns + round((ns - start_ns) / self._options.rate))
        report.lateness_s.append(max(0.0, -self._pace.due_in_s(message.log_time_ns)))
        with self._unless_ending():
            if topic.name not in report.by_topic and not publisher.get_subscription_count():
                report.unheard.append(topic.name)
            publisher.publish(data)
        report.messages += 1
        report.by_topic[topic.name] = report.by_topic.get(topic.name, 0) + 1

    @contextlib.contextmanager
    def _unless_ending(self) -> Iterator[None]:
        """Let errors pass when the process is ending: the loop will see it."""
        try:
            yield
        except Exception:
            if self._node.context.ok():
                raise

    def _publish_clock(self) -> None:
        seconds, nanoseconds = divmod(max(0, self._pace.bag_time_ns()), _NS)
        message = self._clock.msg_type()
        message.clock.sec, message.clock.nanosec = seconds, nanoseconds
        with self._unless_ending():
            self._clock.publish(message)

    def _wait_for_subscribers(self) -> bool:
        """Wait until everybody who was asked for listens; tell whether they do."""
        missing = [self._node.resolve_topic_name(name) for name in self._options.wait_for]
        told = False
        while missing:
            missing = [name for name in missing if self._node.count_subscribers(name) == 0]
            if missing and not told:
                self._node.get_logger().info(f'waiting for subscribers of {", ".join(missing)}')
                told = True
            if missing and not self._sleep(0.05):
                return False
        return True

    def _let_arrive(self) -> None:
        """Wait for the acknowledgements of the last messages, where somebody gives any."""
        from rclpy.duration import Duration

        for publisher in self._publishers.values():
            if publisher.get_subscription_count() and not self._ended():
                publisher.wait_for_all_acked(Duration(seconds=_ACK_TIMEOUT_S))
        self._sleep(_POLL_S)  # best effort: what left may still be on its way

    def _sleep(self, seconds: float) -> bool:
        """Wait; tell whether to go on."""
        until_s = time.monotonic() + seconds
        with self._changed:
            while not self._ended() and (left_s := until_s - time.monotonic()) > 0:
                self._changed.wait(min(left_s, _POLL_S))
            return not self._ended()

    def _ended(self) -> bool:
        return self._stopping or not self._node.context.ok()


def read_ahead(messages: Iterator[BagMessage]) -> Generator[BagMessage, None, None]:
    """
    Read messages in a thread of its own, a few ahead of whoever takes them.

    What reading raises, taking raises. Closing ends the thread.
    """
    with ThreadPoolExecutor(1, 'read_bag') as thread:
        try:
            ahead = deque(thread.submit(next, messages, None) for _ in range(READ_AHEAD))
            while (message := ahead.popleft().result()) is not None:
                yield message
                ahead.append(thread.submit(next, messages, None))
        finally:
            thread.shutdown(cancel_futures=True)
