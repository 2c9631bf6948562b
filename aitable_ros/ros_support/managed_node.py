# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What every aitable node is: a lifecycle node with one worker thread and diagnostics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.time import Time

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import Selection
from aitable_ros.ros_support.frame_hub import FrameHub, FrameSubscription
from aitable_ros.ros_support.image_conversion import ImageConversionError
from aitable_ros.ros_support.parameters import (
    COMMON_PARAMETERS,
    ParameterSpec,
    ParameterTable,
    image_qos,
)
from aitable_ros.ros_support.statistics import LatencyMeter, RateMeter
from aitable_ros.ros_support.worker import Worker

AUTOSTART_POLL_S = 0.02
DIAGNOSTICS_PERIOD_S = 1.0
WARN_INTERVAL_S = 5.0


class ManagedNode(LifecycleNode):
    """
    Base of all nodes.

    Callbacks only leave work for the node's worker thread, which loads, uses and closes the
    networks. Subclasses override :meth:`load`, :meth:`unload`, :meth:`start`, :meth:`process`
    and :meth:`diagnostics`.

    Lifecycle: *configure* reads the parameters and loads models (failure leaves the node
    unconfigured, with the reason in the log and in /diagnostics), *activate* subscribes and
    works, *deactivate* pauses with the models kept, *cleanup* and *shutdown* free them.

    :param name: node name.
    :param kwargs: passed to :class:`rclpy.lifecycle.LifecycleNode`.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = ()
    QUEUE_DEPTH: ClassVar[int] = 1

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.params = ParameterTable(self, (*COMMON_PARAMETERS, *self.PARAMETERS))
        self.input_rate = RateMeter()
        self.output_rate = RateMeter()
        self.latency = LatencyMeter()
        self.malformed = 0
        self.failures = 0
        self._problem = ''
        self._problem_is_error = True
        self._worker: Worker[Any] | None = None
        self._frames: list[FrameSubscription] = []
        self._released = False
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._diagnostics_timer = self.create_timer(
            DIAGNOSTICS_PERIOD_S, self._publish_diagnostics
        )
        self._refuse_impossible_transitions()
        self._autostart_thread: threading.Thread | None = None
        if self.params['autostart']:
            self._autostart_timer = self.create_timer(AUTOSTART_POLL_S, self._step_autostart)

    # What subclasses fill in.

    def load(self) -> None:
        """
        Read the parameters and load the networks; runs in the worker thread.

        :raises InferenceError: or any error whose message says why the node cannot be
            configured.
        """

    def unload(self) -> None:
        """Free what :meth:`load` took, also after it failed halfway; in the worker thread."""

    def start(self) -> None:
        """Subscribe to the inputs; on activation."""

    def stop(self) -> None:
        """Undo :meth:`start`; on deactivation. Frame subscriptions are closed already."""

    def process(self, item: Any) -> None:
        """Work on one item that was offered; in the worker thread."""

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Give further key-value pairs for /diagnostics."""
        return ()

    def selections(self) -> Sequence[Selection]:
        """Give the networks that run, for the log and /diagnostics."""
        return ()

    @property
    def is_required(self) -> bool:
        """Tell whether a failure to configure is an error (or just a missing extra)."""
        return True

    # What subclasses use.

    def subscribe_to_frames(self, callback: Callable[[Any], None]) -> None:
        """
        Get the camera frames of topic ``image_raw`` through the process's frame hub.

        :param callback: gets each :class:`~aitable_ros.ros_support.frame_hub.Frame` in the
            executor's thread and must return at once.
        """
        from sensor_msgs.msg import CompressedImage, Image

        topic: str = 'image_raw'
        message_type: type = Image
        if self.params['image_transport'] == 'compressed':
            # remapping image_raw moves the compressed topic along, as image_transport does
            topic = self.resolve_topic_name(topic) + '/compressed'
            message_type = CompressedImage
        qos = image_qos(self, self.resolve_topic_name(topic))
        self._frames.append(FrameHub.of(self).subscribe(self, message_type, topic, qos, callback))

    def unsubscribe_from_frames(self) -> None:
        """Give back what :meth:`subscribe_to_frames` took."""
        for subscription in self._frames:
            subscription.close()
        self._frames.clear()

    def offer(self, item: Any) -> None:
        """Leave an item for the worker thread; the newest wins."""
        self.input_rate.tick()
        worker = self._worker
        if worker is not None:
            worker.offer(item)

    def note_published(self, stamp: Any) -> None:
        """
        Count one published result.

        :param stamp: header stamp of the image it was computed from.
        """
        self.output_rate.tick()
        age_s = (self.get_clock().now() - Time.from_msg(stamp)).nanoseconds * 1e-9
        self.latency.add(age_s)

    @property
    def is_active(self) -> bool:
        """True while the node is in the lifecycle state *active*."""
        return self.state == 'active'

    @property
    def state(self) -> str:
        """Label of the lifecycle state: unconfigured, inactive, active, finalized, …"""
        return str(self._state_machine.current_state[1])

    @property
    def overtaken(self) -> int:
        """How many inputs were replaced by a newer one before they were worked on."""
        return self._worker.overtaken if self._worker is not None else 0

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker thread and load the networks in it."""
        self._problem = ''
        self._worker = Worker(
            self.get_name(), self.process, self._on_handle_error, self.QUEUE_DEPTH
        )
        try:
            self._worker.call(self.load).result()
        except Exception as error:
            self._problem = str(error)
            self._problem_is_error = self.is_required
            log = self.get_logger().error if self._problem_is_error else self.get_logger().warning
            log(f'not configured: {error}')
            self._free()
            return TransitionCallbackReturn.FAILURE
        for selection in self.selections():
            self.get_logger().info(selection.explain())
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        assert self._worker is not None
        self._worker.resume()
        try:
            self.start()
        except Exception as error:
            self._pause()
            self.get_logger().error(f'not activated: {error}')
            return TransitionCallbackReturn.FAILURE
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working; the networks stay loaded."""
        self._pause()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the networks and end the worker thread."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close everything, from whatever state."""
        self._pause()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything and go back to unconfigured, from where configuring may be retried."""
        self._pause()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Free everything and destroy the node."""
        if self._released:
            return
        self._released = True
        if self._autostart_thread is not None:
            self._autostart_thread.join()
        self._pause()
        self._free()
        super().destroy_node()

    def _pause(self) -> None:
        self.unsubscribe_from_frames()
        self.stop()
        if self._worker is not None:
            self._worker.pause()

    def _free(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            try:
                worker.call(self.unload).result()
            finally:
                worker.stop()

    def _step_autostart(self) -> None:
        """
        Configure in a thread, then activate in the executor.

        Loading a network in the executor would hold up every other node it spins; creating
        subscriptions anywhere else would race with it.
        """
        if self._autostart_thread is None:
            self._autostart_thread = threading.Thread(
                target=self._try_transition,
                args=(self.trigger_configure,),
                name=f'{self.get_name()}_autostart',
                daemon=True,
            )
            self._autostart_thread.start()
        elif not self._autostart_thread.is_alive():
            self._autostart_timer.cancel()
            if self.state == 'inactive':
                self._try_transition(self.trigger_activate)

    def _try_transition(self, trigger: Callable[[], Any]) -> None:
        try:
            trigger()
        except (rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle) as error:
            # somebody else changed the state meanwhile, or the process is ending
            self.get_logger().debug(f'autostart gave way: {error}')

    def _refuse_impossible_transitions(self) -> None:
        """Answer success=False where rclpy would let an exception end the process."""
        change_state = self._service_change_state.callback

        def guarded(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except rclpy_implementation.RCLError as error:
                self.get_logger().warning(f'transition refused in state {self.state}: {error}')
                response.success = False
                return response

        self._service_change_state.callback = guarded

    # Trouble and diagnostics.

    def _on_handle_error(self, error: Exception) -> None:
        if not self.context.ok():
            return  # the process is ending: publishing fails, and so would logging
        if isinstance(error, ImageConversionError):
            self.malformed += 1
            self.get_logger().warning(
                f'image dropped ({self.malformed} so far): {error}',
                throttle_duration_sec=WARN_INTERVAL_S,
            )
            return
        self.failures += 1
        kind = '' if isinstance(error, InferenceError) else f'{type(error).__name__}: '
        self.get_logger().error(
            f'frame dropped ({self.failures} so far): {kind}{error}',
            throttle_duration_sec=WARN_INTERVAL_S,
        )

    def _publish_diagnostics(self) -> None:
        status = DiagnosticStatus(
            name=f'{self.get_fully_qualified_name()}'.lstrip('/'), hardware_id='aitable'
        )
        status.level, status.message = self._health()
        p50_s, p99_s = self.latency.quantiles(0.5, 0.99)
        values: list[tuple[str, Any]] = [
            ('state', self.state),
            ('inputs', self.input_rate.count),
            ('outputs', self.output_rate.count),
            ('input rate [Hz]', f'{self.input_rate.rate():.1f}'),
            ('output rate [Hz]', f'{self.output_rate.rate():.1f}'),
            ('latency p50 [ms]', f'{p50_s * 1e3:.1f}'),
            ('latency p99 [ms]', f'{p99_s * 1e3:.1f}'),
            ('overtaken', self.overtaken),
            ('malformed images', self.malformed),
            ('failures', self.failures),
        ]
        for selection in self.selections():
            name = selection.engine.name
            values.append((f'{name} backend', selection.backend))
            values.append((f'{name} file', selection.path))
            values += [
                (f'{name} skipped {skipped.backend}', skipped.reason)
                for skipped in selection.skipped
            ]
        values += self.diagnostics()
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _health(self) -> tuple[bytes, str]:
        if self._problem:
            level = DiagnosticStatus.ERROR if self._problem_is_error else DiagnosticStatus.WARN
            return level, self._problem
        if not self.is_active:
            return DiagnosticStatus.WARN, f'not active: {self.state}'
        if self.input_rate.rate() == 0.0:
            return DiagnosticStatus.WARN, 'no input'
        return DiagnosticStatus.OK, 'running'
