# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a managed node counts, and its status on /diagnostics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from aitable_ros.inference.engine import InferenceError, one_line
from aitable_ros.inference.selection import Selection
from aitable_ros.perception.images.decoding import ImageConversionError
from aitable_ros.perception.images.stream_order import StreamOrder
from aitable_ros.ros_support.node.gpu_memory import gpu_memory_bytes
from aitable_ros.ros_support.node.health import HealthLimits, Level, Vitals, judge
from aitable_ros.ros_support.node.statistics import LatencyMeter, RateMeter, RecentCounts
from aitable_ros.ros_support.parameters.table import ParameterTable
from aitable_ros.ros_support.process.seldom import SeldomLog

PERIOD_S = 1.0
WINDOW_S = 5.0
MIB = 1 << 20


class _Node(Protocol):
    """What is asked of the node."""

    NEEDS_INPUT: ClassVar[bool]
    params: ParameterTable
    seldom: SeldomLog
    released: bool

    @property
    def context(self) -> Any: ...
    @property
    def state(self) -> str: ...
    @property
    def is_enabled(self) -> bool: ...
    @property
    def overtaken(self) -> int: ...
    @property
    def notice(self) -> str: ...
    def rivals(self) -> str: ...
    def selections(self) -> Sequence[Selection]: ...
    def diagnostics(self) -> Iterable[tuple[str, Any]]: ...
    def get_clock(self) -> Any: ...
    def get_fully_qualified_name(self) -> str: ...
    def create_publisher(self, *args: Any, **kwargs: Any) -> Any: ...
    def create_timer(self, *args: Any, **kwargs: Any) -> Any: ...


def order_values(stream: StreamOrder) -> Iterable[tuple[str, Any]]:
    """Give what a status says of the order in which images come."""
    yield 'late images', stream.late
    yield 'images of other cameras', stream.foreign


class NodeDiagnostics:
    """Counts what a node does and publishes it at 1 Hz, from construction on."""

    def __init__(self, node: _Node) -> None:
        self._node = node
        self.input_rate = RateMeter(WINDOW_S)
        self.output_rate = RateMeter(WINDOW_S)
        self.latency = LatencyMeter()
        self.malformed = 0
        self.failures = 0
        self.last_error = ''
        self.problem = ''
        self.problem_is_error = True
        self.reload_problem = ''
        self._recent = RecentCounts(WINDOW_S)
        self._active_since_s = time.monotonic()
        self._gpu_bytes: tuple[int, int] | None = None
        self._gpu_read_s = 0.0
        self._rivals = ''
        self._vitals = Vitals(node.state)
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # goes on while simulated time stands still
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self.publish, clock=self.steady_clock)

    def note_activation(self) -> None:
        """Begin to wait for input: what was before says nothing about what is to come."""
        self._active_since_s = time.monotonic()
        self._recent.restart(self._counts())
        self._vitals = Vitals(self._node.state)
        self.latency.clear()

    def note_error(self, error: Exception) -> None:
        """Count and log what the work on an input raised; in the worker thread."""
        node = self._node
        if not node.context.ok():
            return  # the process is ending: publishing fails, and so would logging
        if isinstance(error, ImageConversionError):
            self.malformed += 1
            node.seldom.warn('image', f'image dropped ({self.malformed} so far): {error}')
            return
        self.failures += 1
        kind = '' if isinstance(error, InferenceError) else f'{type(error).__name__}: '
        self.last_error = one_line(f'{kind}{error}')
        node.seldom.error('frame', f'frame dropped ({self.failures} so far): {self.last_error}')

    def look_at_gpu(self, *, now: bool = False) -> None:
        """Note the GPU's memory, at most once a period; in the worker thread."""
        time_s = time.monotonic()
        if now or time_s - self._gpu_read_s >= PERIOD_S:
            self._gpu_read_s = time_s
            self._gpu_bytes = gpu_memory_bytes(self._node.selections())

    def health(self) -> tuple[Level, str]:
        """Give the node's level and the reasons for it, as of now."""
        return judge(self._measure(self._vitals), self._limits())

    def publish(self) -> None:
        """Note the node's status, and publish it if somebody subscribes."""
        if self._node.released:  # since the timer fired
            return
        self._rivals = self._node.rivals()
        recent: dict[str, Any] = self._recent.since(self._counts())
        self._vitals = self._measure(replace(self._vitals, **recent))
        if not self._publisher.get_subscription_count():
            return  # to make the message is most of the work
        node = self._node
        level, text = judge(self._vitals, self._limits())
        status = DiagnosticStatus(
            name=node.get_fully_qualified_name().lstrip('/'),
            hardware_id='aitable',
            level=bytes([level]),
            message=one_line(text),
            values=[KeyValue(key=key, value=one_line(value)) for key, value in self._values()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _limits(self) -> HealthLimits:
        params, names = self._node.params, [field.name for field in fields(HealthLimits)]
        return HealthLimits(**{name: params[f'diagnostics.{name}'] for name in names})

    def _counts(self) -> dict[str, int]:
        return {
            'inputs': self.input_rate.count,
            'outputs': self.output_rate.count,
            'overtaken': self._node.overtaken,
            'malformed': self.malformed,
            'failures': self.failures,
        }

    def _measure(self, counted: Vitals) -> Vitals:
        node = self._node
        active_s = time.monotonic() - self._active_since_s
        notices = [node.notice, self._rivals, *(s.doubt for s in node.selections())]
        return replace(
            counted,
            state=node.state,
            enabled=node.is_enabled,
            problem=self.problem,
            problem_is_error=self.problem_is_error,
            reload_problem=self.reload_problem,
            notice='; '.join(filter(None, notices)),
            needs_input=node.NEEDS_INPUT,
            idle_s=min(self.input_rate.idle_s(), active_s),
            settled=active_s > WINDOW_S,
            input_rate_hz=self.input_rate.rate(),
            latency_s=self.latency.quantiles(0.5)[0],
            last_error=self.last_error,
        )

    def _values(self) -> list[tuple[str, Any]]:
        node = self._node
        p50_s, p99_s = self.latency.quantiles(0.5, 0.99)
        values: list[tuple[str, Any]] = [
            ('state', node.state),
            ('enabled', node.is_enabled),
            ('inputs', self.input_rate.count),
            ('outputs', self.output_rate.count),
            ('input rate [Hz]', f'{self.input_rate.rate():.1f}'),
            ('output rate [Hz]', f'{self.output_rate.rate():.1f}'),
            ('latency p50 [ms]', f'{p50_s * 1e3:.1f}'),
            ('latency p99 [ms]', f'{p99_s * 1e3:.1f}'),
            ('overtaken', node.overtaken),
            ('overtaken share', f'{self._vitals.overtaken_share:.2f}'),
            ('malformed images', self.malformed),
            ('failures', self.failures),
        ]
        if self.last_error:
            values.append(('last failure', self.last_error))
        if self.reload_problem:
            values.append(('last reload', f'failed: {self.reload_problem}'))
        for selection in node.selections():
            name = selection.engine.name
            values += [(f'{name} backend', selection.backend), (f'{name} file', selection.path)]
            values += [(f'{name} skipped {s.backend}', s.reason) for s in selection.skipped]
        for what, size in zip(('used', 'total'), self._gpu_bytes or ()):
            values.append((f'GPU memory {what} [MiB]', f'{size / MIB:.0f}'))
        return [*values, *node.diagnostics()]
