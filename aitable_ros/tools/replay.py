# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes a bag, where there is no rosbag2 to do it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
import queue
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aitable_ros.tools.process_bag import split_ros_arguments

if TYPE_CHECKING:
    from aitable_ros.bags import BagMessage, BagReader, BagTopic

LATE_S = 0.010
"""A message that goes out this much after its time is late: a third of a period at 30 Hz."""

READ_AHEAD = 32
"""So many messages are read before their time, so that a slow disk delays none."""

DEFAULT_DEPTH = 10
"""Depth of a publisher whose own was not recorded; that of ros2 bag play, too."""

STATIC_DEPTH = 1000
"""A late subscriber of a transient-local topic (/tf_static) gets up to so many messages."""

Restamper = Callable[[bytes, Callable[[int], int]], bytes]
"""Makes, of a serialised message and of how a stamp moves (ns to ns), the moved message."""

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
    topics: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    start_s: float = 0.0
    duration_s: float = math.inf
    clock_hz: float = 0.0
    restamp: bool = False
    delay_s: float = 0.0
    wait_for: tuple[str, ...] = ()
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
    :param passes: how often the end was reached.
    :param bag_s: how much of the bag's time went by [s].
    :param wall_s: how long that took, pauses left out [s].
    :param lateness_s: of every message, how long after its time it was published [s].
    :param unheard: topics of the bag that nobody had subscribed to when their first message went
        out.
    """

    messages: int = 0
    by_topic: dict[str, int] = field(default_factory=dict)
    passes: int = 0
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


class Pace:
    """
    When what is due, in wall-clock time.

    :param rate: how many times faster than recorded.
    :param now: tells the time [s]; monotonic.
    """

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._start_s = 0.0
        self._bag_start_ns = 0
        self._paused_at_s: float | None = None
        self._stood_s = 0.0

    def begin(self, bag_start_ns: int) -> None:
        """Let this log time [ns] be now."""
        self._bag_start_ns = bag_start_ns
        self._start_s = self._now()
        self._stood_s = 0.0
        if self._paused_at_s is not None:
            self._paused_at_s = self._start_s

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        return self._paused_at_s is not None

    def pause(self) -> None:
        """Let time stand still."""
        if self._paused_at_s is None:
            self._paused_at_s = self._now()

    def resume(self) -> None:
        """Let time go on from where it stood still."""
        if self._paused_at_s is not None:
            self._start_s += self._now() - self._paused_at_s
            self._stood_s += self._now() - self._paused_at_s
            self._paused_at_s = None

    @property
    def stood_s(self) -> float:
        """How long time stood still since the beginning [s]."""
        standing_s = 0.0 if self._paused_at_s is None else self._now() - self._paused_at_s
        return self._stood_s + standing_s

    def due_in_s(self, log_time_ns: int) -> float:
        """Tell in how many seconds a log time [ns] comes; negative: it has passed."""
        now_s = self._now() if self._paused_at_s is None else self._paused_at_s
        return self._start_s + (log_time_ns - self._bag_start_ns) / _NS / self._rate - now_s

    def bag_time_ns(self) -> int:
        """Tell what log time it is [ns]."""
        now_s = self._now() if self._paused_at_s is None else self._paused_at_s
        return self._bag_start_ns + round((now_s - self._start_s) * self._rate * _NS)


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
        from aitable_ros.bags import BagError

        start_ns, stop_ns = self._span()
        if self._wait_for_subscribers() and self._sleep(self._options.delay_s):
            while True:
                before = self.report.messages
                finished = self._play(start_ns, stop_ns)
                if not finished:
                    break
                self.report.passes += 1
                if self.report.messages == before:
                    raise BagError(f'{self._bag.path}: no message in this part of the bag')
                if not self._options.loop:
                    self._let_arrive()
                    break
        return self.report

    def _make_publishers(self) -> None:
        from aitable_ros.bags import BagError

        for topic in self._chosen():
            message_class = _message_class(topic.type_name)
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
        from aitable_ros.bags import BagError

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

    def _span(self) -> tuple[int, int | None]:
        start_ns = self._bag.start_ns + round(self._options.start_s * _NS)
        duration_s = self._options.duration_s
        return start_ns, None if duration_s == math.inf else start_ns + round(duration_s * _NS)

    def _play(self, start_ns: int, stop_ns: int | None) -> bool:
        """Publish once; tell whether the end was reached."""
        messages = _ReadAhead(self._bag.messages(tuple(self._publishers), start_ns, stop_ns))
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
        if topic.name not in report.by_topic and not self._is_heard(publisher):
            report.unheard.append(topic.name)
        self._send(publisher, data)
        report.messages += 1
        report.by_topic[topic.name] = report.by_topic.get(topic.name, 0) + 1

    def _send(self, publisher: Any, message: Any) -> None:
        try:
            publisher.publish(message)
        except Exception:
            if self._node.context.ok():
                raise
            # the process is ending: the loop will see it

    def _is_heard(self, publisher: Any) -> bool:
        try:
            return bool(publisher.get_subscription_count())
        except Exception:
            if self._node.context.ok():
                raise
            return True

    def _publish_clock(self) -> None:
        from builtin_interfaces.msg import Time
        from rosgraph_msgs.msg import Clock

        seconds, nanoseconds = divmod(max(0, self._pace.bag_time_ns()), _NS)
        self._send(self._clock, Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))

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


class _ReadAhead:
    """Reads messages in a thread of its own, a few ahead of whoever takes them."""

    def __init__(self, messages: Iterator[BagMessage]) -> None:
        self._messages = messages
        self._queue: queue.Queue[BagMessage | BaseException | None] = queue.Queue(READ_AHEAD)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name='read_bag', daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[BagMessage]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
            self._thread.join(0.01)

    def _read(self) -> None:
        try:
            for message in self._messages:
                self._put(message)
                if self._closing.is_set():
                    return
            self._put(None)
        except BaseException as error:  # handed to whoever takes the messages
            self._put(error)

    def _put(self, item: BagMessage | BaseException | None) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_S)
                return


def publisher_qos(topic: BagTopic) -> Any:
    """
    Choose the QoS for publishing a topic: what was offered when it was recorded.

    Where several publishers offered different things, the most generous offer is taken, which
    every subscriber of theirs accepts. Deadlines, lifespans and liveliness are left out: they
    mean nothing at another rate. Where nothing was recorded: reliable, volatile, keep last 10.

    :param topic: a topic of a bag.
    :returns: a :class:`rclpy.qos.QoSProfile`.
    """
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

    reliable = not topic.qos or any(q.reliability.name != 'BEST_EFFORT' for q in topic.qos)
    latched = any(q.durability.name == 'TRANSIENT_LOCAL' for q in topic.qos)
    # DDS does not tell a publisher's depth: it is recorded as 0
    depth = max([q.depth for q in topic.qos], default=0) or DEFAULT_DEPTH
    if latched:
        depth = max(depth, min(topic.count, STATIC_DEPTH))
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def make_restamper(message_class: Any) -> Restamper:
    """
    Make a function that moves the stamps of all headers in a message.

    :param message_class: class of the messages.
    :returns: the function; stamps that are 0 stay 0.
    """
    places = _headers(message_class)
    if not places:
        return lambda data, move: data
    if places == [('header',)] and next(iter(message_class.get_fields_and_field_types())) == (
        'header'
    ):
        return _move_first_stamp  # without unpacking an image
    return lambda data, move: _move_all_stamps(data, message_class, move)


def _headers(message_class: Any, depth: int = 0) -> list[tuple[str, ...]]:
    """Give the paths to the headers in a message; sequences on the way count as one step."""
    if depth > 8:
        return []
    places: list[tuple[str, ...]] = []
    for name, kind in message_class.get_fields_and_field_types().items():
        kind = kind.removeprefix('sequence<').split('[')[0].rstrip('>').split(',')[0]
        if kind == 'std_msgs/Header':
            places.append((name,))
        elif '/' in kind:
            nested = _message_class(kind.replace('/', '/msg/'))
            if nested is not None:
                places += [(name, *rest) for rest in _headers(nested, depth + 1)]
    return places


def _move_first_stamp(data: bytes, move: Callable[[int], int]) -> bytes:
    # CDR: 4 bytes of encapsulation, of which the second tells the byte order; then the message,
    # which begins with its header, which begins with its stamp
    layout = '<iI' if data[1] & 1 else '>iI'
    seconds, nanoseconds = struct.unpack_from(layout, data, 4)
    stamp_ns = seconds * _NS + nanoseconds
    if stamp_ns == 0:
        return data
    moved = bytearray(data)
    struct.pack_into(layout, moved, 4, *divmod(move(stamp_ns), _NS))
    return bytes(moved)


def _move_all_stamps(data: bytes, message_class: Any, move: Callable[[int], int]) -> bytes:
    from rclpy.serialization import deserialize_message, serialize_message

    message = deserialize_message(data, message_class)
    for path in _headers(message_class):
        for header in _at(message, path):
            stamp_ns = header.stamp.sec * _NS + header.stamp.nanosec
            if stamp_ns:
                header.stamp.sec, header.stamp.nanosec = divmod(move(stamp_ns), _NS)
    return bytes(serialize_message(message))


def _at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _at(item, path)
    elif path:
        yield from _at(getattr(value, path[0]), path[1:])
    else:
        yield value


def _message_class(type_name: str) -> Any:
    """Return the class of a message type, or None where it is not installed."""
    package, _, name = type_name.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0, also when interrupted; 1 when the bag cannot be published.
    """
    own, ros_arguments = split_ros_arguments(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    arguments = parser.parse_args(own)
    try:
        options = _options(arguments)
    except ValueError as error:
        parser.error(str(error))
    try:
        from aitable_ros.bags import BagError, BagReader
    except ImportError as error:
        return _fail(f'{error}: pip install rosbags')
    try:
        import rclpy
        from rclpy.executors import ExternalShutdownException
    except ImportError as error:
        return _fail(f'{error}: source a ROS 2 installation first')
    from aitable_ros.ros_support.transport import configure_transport

    configure_transport()
    for rule in arguments.remap:
        ros_arguments += ['-r', rule]
    try:
        rclpy.init(args=['--ros-args', *ros_arguments] if ros_arguments else [])
    except Exception as error:
        return _fail(' '.join(str(error).split()))
    try:
        with BagReader(arguments.bag) as bag:
            _replay(bag, options, quiet=arguments.quiet)
    except BagError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


def _replay(bag: BagReader, options: Options, *, quiet: bool) -> None:
    import rclpy
    from std_srvs.srv import SetBool

    from aitable_ros.ros_support.executor import make_executor

    node = rclpy.create_node('replay')
    executor = make_executor()
    spinning = threading.Thread(target=_spin, args=(executor,), name='spin', daemon=True)
    try:
        player = Player(node, bag, options)
        for topic in player.unknown:
            node.get_logger().warning(
                f'{topic.name} is not published: {topic.type_name} is not installed'
            )

        def set_paused(request: Any, response: Any) -> Any:
            player.set_paused(request.data)
            response.success = True
            response.message = 'paused' if request.data else 'going on'
            return response

        node.create_service(SetBool, '~/set_paused', set_paused)
        executor.add_node(node)
        spinning.start()
        try:
            with _space_bar(lambda: player.set_paused(not player.paused)):
                player.run()
        finally:
            if not quiet:
                print('\n'.join(f'replay: {line}' for line in player.report.lines()))
    finally:
        if spinning.ident is not None:
            rclpy.try_shutdown()
            spinning.join()
        executor.shutdown()
        node.destroy_node()


def _spin(executor: Any) -> None:
    from rclpy.executors import ExternalShutdownException

    from aitable_ros.ros_support.executor import spin_executor

    with contextlib.suppress(ExternalShutdownException):
        spin_executor(executor)


@contextlib.contextmanager
def _space_bar(toggle: Callable[[], None]) -> Iterator[None]:
    """Call a function whenever the space bar is pressed, where there is a keyboard."""
    terminal = _terminal()
    if terminal is None:
        yield
        return
    import select
    import termios
    import tty

    descriptor, before = terminal
    stopping = threading.Event()

    def listen() -> None:
        while not stopping.is_set():
            ready, _, _ = select.select([descriptor], [], [], _POLL_S)
            if not ready:
                continue
            try:
                # not through sys.stdin, whose buffer select does not see
                keys = os.read(descriptor, 64)
            except OSError:
                return  # the terminal has gone
            if not keys:
                return
            if keys.count(b' ') % 2:
                toggle()

    thread = threading.Thread(target=listen, name='keyboard', daemon=True)
    tty.setcbreak(descriptor)
    try:
        thread.start()
        yield
    finally:
        stopping.set()
        thread.join()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _terminal() -> tuple[int, Any] | None:
    """Return the descriptor of the terminal that input comes from, and its settings."""
    try:
        import termios
    except ImportError:
        return None
    try:
        descriptor = sys.stdin.fileno()
        return descriptor, termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        return None


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        rate=arguments.rate,
        loop=arguments.loop,
        topics=tuple(arguments.topics),
        exclude=tuple(arguments.exclude),
        start_s=arguments.start,
        duration_s=arguments.duration,
        clock_hz=arguments.clock,
        restamp=arguments.restamp,
        delay_s=arguments.delay,
        wait_for=tuple(arguments.wait_for),
        paused=arguments.paused,
    )


def _fail(text: str) -> int:
    print(f'replay: error: {text}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='replay',
        description=(
            'Publish a recorded bag: a folder of ros2 bag, or a single .mcap or .db3 file. The'
            ' messages go out as they were recorded, with the QoS that their publishers offered.'
            ' Every message is published; how many were late is said at the end. The space bar'
            ' pauses, as does the service /replay/set_paused.'
        ),
        epilog=(
            'What follows --ros-args goes to the node. Exit status: 0, also when interrupted; 1'
            ' when the bag cannot be published.'
        ),
    )
    parser.add_argument('bag', metavar='BAG', type=Path, help='bag to publish')
    parser.add_argument(
        '--rate', '-r', metavar='X', type=float, default=1.0, help='times faster than recorded'
    )
    parser.add_argument('--loop', '-l', action='store_true', help='start again at the end')
    parser.add_argument(
        '--topics', metavar='TOPIC', nargs='+', default=[], help='publish these topics only'
    )
    parser.add_argument(
        '--exclude', metavar='TOPIC', nargs='+', default=[], help='leave these topics out'
    )
    parser.add_argument(
        '--remap',
        '-m',
        metavar='FROM:=TO',
        nargs='+',
        default=[],
        help='publish a topic under another name',
    )
    parser.add_argument(
        '--start', metavar='S', type=float, default=0.0, help='begin so far into the bag [s]'
    )
    parser.add_argument(
        '--duration', metavar='S', type=float, default=math.inf, help='stop after so long [s]'
    )
    parser.add_argument(
        '--clock',
        metavar='HZ',
        type=float,
        nargs='?',
        const=40.0,
        default=0.0,
        help='publish /clock in the time of the bag, for nodes with use_sim_time (40 Hz where no'
        ' number is given)',
    )
    parser.add_argument(
        '--restamp',
        action='store_true',
        help='move the stamps of all headers to the present, their distances divided by the rate;'
        ' else they stay as recorded',
    )
    parser.add_argument(
        '--delay', '-d', metavar='S', type=float, default=0.0, help='wait before the start [s]'
    )
    parser.add_argument(
        '--wait-for',
        metavar='TOPIC',
        nargs='+',
        default=[],
        help='wait until somebody subscribes to these topics',
    )
    parser.add_argument('--paused', '-p', action='store_true', help='begin paused')
    parser.add_argument('--quiet', action='store_true', help='no summary; errors only')
    return parser


if __name__ == '__main__':
    sys.exit(main())
