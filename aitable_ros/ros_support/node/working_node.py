# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The part of a node that works on inputs: parameters, frames, worker thread, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher

from aitable_ros.perception.images.stream_order import StreamOrder
from aitable_ros.ros_support.frames.frame_buffer import FrameBuffer
from aitable_ros.ros_support.frames.frame_hub import (
    FrameSubscription,
    share_frames,
    stamp_to_ns,
)
from aitable_ros.ros_support.frames.image_qos import image_qos
from aitable_ros.ros_support.node.answering import AnsweringNode
from aitable_ros.ros_support.node.common_parameters import COMMON_PARAMETERS
from aitable_ros.ros_support.node.diagnostics import NodeDiagnostics
from aitable_ros.ros_support.node.hand_over import publish
from aitable_ros.ros_support.node.health import HealthLimits, Level
from aitable_ros.ros_support.node.hooks import NodeHooks
from aitable_ros.ros_support.node.worker import Worker
from aitable_ros.ros_support.parameters.from_settings import settings_from
from aitable_ros.ros_support.parameters.table import ParameterTable


class WorkingNode(NodeHooks, AnsweringNode, LifecycleNode):
    """What subclasses of :class:`~aitable_ros.ros_support.node.managed_node.ManagedNode` use."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.released = False
        self.hands_over = True
        """Whether results may go straight to the other nodes of this process."""
        super().__init__(name, **kwargs)
        self.params = ParameterTable(self, (*COMMON_PARAMETERS, *self.PARAMETERS), self._check)
        self.frames = FrameBuffer()
        """For nodes that work on an image and on results made from it."""
        self.values: Mapping[str, Any] = self.params.values()
        """
        The parameters that the node works with, by name: dynamic ones as they were set before
        the present frame, the others as they were when it was loaded.
        """
        self._values_loaded: Mapping[str, Any] = self.values
        self._worker: Worker[Any] | None = None
        self._enabled = True
        self._rivals: tuple[Mapping[str, int], str] = ({}, '')
        self._frame_subscription: tuple[Any, FrameSubscription] | None = None
        self.meters = NodeDiagnostics(self)
        self.input_rate = self.meters.input_rate
        self.output_rate = self.meters.output_rate

    def subscribe_to_frames(self, callback: Callable[[Any], None]) -> None:
        """
        Get the camera frames of topic ``image_raw`` as the process's nodes share them.

        Where the node does so already, nothing changes unless ``image_transport`` did.

        :param callback: gets each frame in the executor's thread and must return at once.
        """
        from sensor_msgs.msg import CompressedImage, Image

        topic: str = 'image_raw'
        message_type: type = Image
        if self._values_loaded['image_transport'] == 'compressed':
            # remapping image_raw moves the compressed topic along, as image_transport does
            topic = self.resolve_topic_name(topic) + '/compressed'
            message_type = CompressedImage
        before, wanted = self._frame_subscription, (topic, callback)
        if before is not None and before[0] == wanted:
            return
        qos = image_qos(self, self.resolve_topic_name(topic))
        # what others find may come back before they have all been told
        first = callback == self.frames.add
        shared = share_frames(self, message_type, topic, qos, callback, first=first)
        self._frame_subscription = (wanted, shared)
        if before is not None:
            before[1].close()

    def unsubscribe_from_frames(self) -> None:
        """Give back what :meth:`subscribe_to_frames` took."""
        before, self._frame_subscription = self._frame_subscription, None
        if before is not None:
            before[1].close()

    def offer(self, item: Any) -> None:
        """Leave an item for the worker thread; the newest wins."""
        self.input_rate.tick()
        worker = self._worker
        if worker is not None:
            worker.offer(item)

    @property
    def is_active(self) -> bool:
        """True while the node is in the lifecycle state *active*."""
        return self.state == 'active'

    @property
    def is_enabled(self) -> bool:
        """False after ``~/set_enabled`` said so; the lifecycle state has nothing to do with it."""
        return self._enabled

    @property
    def state(self) -> str:
        """Label of the lifecycle state: unconfigured, inactive, active, finalized, …"""
        return str(self._state_machine.current_state[1])

    @property
    def overtaken(self) -> int:
        """How many inputs were replaced by a newer one before they were worked on."""
        return self._worker.overtaken if self._worker is not None else 0

    def health(self) -> tuple[Level, str]:
        """Give what /diagnostics says: a level, and the reasons for it."""
        return self.meters.health()

    def process(self, item: Any) -> None:
        """Publish the results of one item; in the worker thread."""
        noted = None
        clock = self.get_clock()
        for publisher, message in self._work(item):
            publish(publisher, message)
            header = getattr(message, 'header', None)
            # several messages of one image are one result
            if header is not None and header.stamp != noted:
                noted = header.stamp
                self.output_rate.tick()
                # integers: stamps may be before 1970, which rclpy's Time does not know
                simulated = getattr(clock, 'ros_time_is_active', True)
                now_ns = clock.now().nanoseconds if simulated else time.time_ns()
                age_ns = now_ns - stamp_to_ns(noted)
                self.meters.latency.add(age_ns * 1e-9)
        self.meters.look_at_gpu()

    def rivals(self) -> str:
        """Say who does the same as this node, or as what it listens to; empty: nobody."""
        topics = {s.topic_name for s in self.subscriptions if s.topic_name.endswith('/faces')}
        if self._frame_subscription is not None:
            topics.add(self.resolve_topic_name(self._frame_subscription[0][0]))
        # nodes that were destroyed keep their name for a while, but not their publishers
        counts = {
            topic: self.count_publishers(topic) for topic in ('/diagnostics', *sorted(topics))
        }
        if counts != self._rivals[0]:  # to ask who they are takes ten times as long
            me = (self.get_name(), self.get_namespace())
            reporting = self.get_publishers_info_by_topic('/diagnostics')
            same = sum((one.node_name, one.node_namespace) == me for one in reporting) - 1
            found = [f'{same} more of this name' * (same > 0)]
            for topic in sorted(topics):
                found.append(f'{counts[topic]} publishers on {topic}' * (counts[topic] > 1))
            self._rivals = counts, '; '.join(filter(None, found))
        return self._rivals[1]

    def tell_order(self, stream: StreamOrder) -> None:
        """Log what is odd about the order of the images, after one was observed."""
        if stream.anew:
            self.seldom.info('time', 'another stream has begun: everybody starts anew')
        elif stream.is_late:
            text = f'the stamp of an image does not follow those before ({stream.late} so far)'
            self.seldom.warn('late', text)
        if stream.problem:
            self.seldom.warn('order', stream.problem)

    def results_of(self, item: Any) -> list[tuple[Publisher, Any]]:
        """
        Work on one item now and give its results instead of publishing them (``process_bag``).

        :param item: as for :meth:`results`.
        :returns: pairs of publisher and message; ``publisher.topic_name`` is resolved.
        :raises RuntimeError: when the node is not configured.
        :raises Exception: what the work raised.
        """
        worker = self._worker
        if worker is None:
            raise RuntimeError(f'{self.get_name()} is not configured')
        # networks are used by the thread that made them
        return worker.call(lambda: list(self._work(item))).result()

    def _work(self, item: Any) -> Iterator[tuple[Publisher, Any]]:
        if self.params.take_change():
            values: Mapping[str, Any] = self.params.effective(self._values_loaded)
            try:
                self.apply(values)
                self.values = values
            except Exception as error:  # what was set before goes on
                self.seldom.error('parameters', f'parameters not applied: {error}')
        yield from self.results(item)

    def _check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        if any(name.startswith('diagnostics.') for name in changed):
            settings_from(values, 'diagnostics', HealthLimits)
        self.check(values, changed)

    def _new_worker(self) -> Worker[Any]:
        return Worker(self.get_name(), self.process, self.meters.note_error, self.QUEUE_DEPTH)
