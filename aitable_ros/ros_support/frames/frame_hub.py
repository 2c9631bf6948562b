# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Camera frames shared inside a process: received, deserialised and converted once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from aitable_ros.perception.images.decoding import ImageConversionError
from aitable_ros.ros_support.frames.image_conversion import message_to_rgb

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

    from aitable_ros.ros_support.frames.received_image import ReceivedImage


class Frame:
    """
    One received image message and, from the first time somebody asks, its pixels.

    Shared by all nodes of the process, from any thread; nobody may write to it.

    :param message: the message as received.
    """

    __slots__ = ('_error', '_lock', '_rgb', 'message', 'stamp_ns')

    def __init__(self, message: Image | ReceivedImage | CompressedImage) -> None:
        self.message = message
        self.stamp_ns = stamp_to_ns(message.header.stamp)
        """Header stamp in nanoseconds."""
        self._lock = threading.Lock()
        self._rgb: npt.NDArray[np.uint8] | None = None
        self._error: ImageConversionError | None = None

    @property
    def header(self) -> Header:
        """Header of the image: stamp of the exposure, frame_id of the camera."""
        return self.message.header

    def rgb(self) -> npt.NDArray[np.uint8]:
        """
        Give the pixels, converting them on the first call only.

        :returns: (H, W, 3) uint8 RGB, not to be written to.
        :raises ImageConversionError: when the message is malformed or of an unknown encoding;
            the same error for everyone who asks.
        """
        return self._converted(contiguous=True)

    def pixels(self) -> npt.NDArray[np.uint8]:
        """
        Give the pixels to those who only cut regions out of them: BGR images are not converted.

        :returns: (H, W, 3) uint8 RGB, not to be written to; of a BGR image a view of the message.
        :raises ImageConversionError: as :meth:`rgb`.
        """
        return self._converted(contiguous=False)

    def _converted(self, *, contiguous: bool) -> npt.NDArray[np.uint8]:
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._rgb is None or (contiguous and not self._rgb.flags.c_contiguous):
                try:
                    self._rgb = message_to_rgb(self.message, contiguous=contiguous)
                except ImageConversionError as error:
                    self._error = error
                    raise
            return self._rgb


def stamp_to_ns(stamp: Any) -> int:
    """Convert a ``builtin_interfaces/Time`` to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


class FrameSubscription:
    """A node's share in a topic; :meth:`close` gives it back."""

    def __init__(self, channel: _Channel, node: Node, callback: Callable[[Frame], None]) -> None:
        self._channel = channel
        self.node = node
        self.callback = callback

    def close(self) -> None:
        """Stop receiving; calling it again does nothing."""
        self._channel.remove(self)


class _Channel:
    """
    One topic of one process: a single ROS subscription and everyone who listens.

    The ROS subscription has to live on some node. It lives on the node of the oldest listener
    and moves when that one leaves.
    """

    def __init__(self, topic: str, message_type: type, qos: QoSProfile) -> None:
        self._topic = topic
        self._message_type = message_type
        self._qos = qos
        self._lock = threading.Lock()
        self._listeners: tuple[FrameSubscription, ...] = ()
        self._carrier: Node | None = None
        self._subscription: Subscription | None = None

    def add(
        self, node: Node, callback: Callable[[Frame], None], *, first: bool
    ) -> FrameSubscription:
        listener = FrameSubscription(self, node, callback)
        with self._lock:
            if self._subscription is None:
                self._attach(node)
            if first:
                self._listeners = (listener, *self._listeners)
            else:
                self._listeners = (*self._listeners, listener)
        return listener

    def remove(self, listener: FrameSubscription) -> None:
        with self._lock:
            if listener not in self._listeners:
                return
            self._listeners = tuple(x for x in self._listeners if x is not listener)
            if any(x.node is self._carrier for x in self._listeners):
                return
            carrier, subscription = self._carrier, self._subscription
            self._carrier = self._subscription = None
            # while the process ends there is nothing to receive any more
            if self._listeners and self._listeners[0].node.context.ok():
                self._attach(self._listeners[0].node)
        if carrier is not None and subscription is not None:
            carrier.destroy_subscription(subscription)

    def carries(self, topic: str, message: Any) -> bool:
        """Tell whether these are messages of this topic."""
        return topic == self._topic and isinstance(message, self._message_type)

    def _attach(self, node: Node) -> None:
        from sensor_msgs.msg import Image

        from aitable_ros.ros_support.frames.received_image import read_image

        raw = self._message_type is Image
        receive = (lambda data: self.dispatch(read_image(data))) if raw else self.dispatch
        self._subscription = node.create_subscription(
            self._message_type, self._topic, receive, self._qos, raw=raw
        )
        self._carrier = node

    def dispatch(self, message: Any) -> None:
        """Hand a message to all listeners; in the executor's thread."""
        frame = Frame(message)
        for listener in self._listeners:
            listener.callback(frame)


_channels: WeakKeyDictionary[Context, dict[tuple[Any, ...], _Channel]] = WeakKeyDictionary()
_channels_lock = threading.Lock()


def share_frames(
    node: Node,
    message_type: type,
    topic: str,
    qos: QoSProfile,
    callback: Callable[[Frame], None],
    *,
    first: bool = False,
) -> FrameSubscription:
    """
    Listen to an image topic together with the other nodes of this node's ROS context.

    However many nodes listen, one ROS subscription receives the topic and every message is
    deserialised and converted once. The nodes must be spun (by any executor).

    :param node: the listening node.
    :param message_type: ``sensor_msgs.msg.Image`` or ``CompressedImage``.
    :param topic: topic name, resolved against the node (namespace, remapping).
    :param qos: nodes asking for the same topic with another QoS get a subscription of their own.
    :param callback: gets every frame, in the executor's thread: it must return at once.
    :param first: before those who listened already: it keeps frames for what they find in them.
    """
    resolved = node.resolve_topic_name(topic)
    key = (message_type, resolved, qos.reliability, qos.history, qos.depth, qos.durability)
    with _channels_lock:
        of_context = _channels.setdefault(node.context, {})
        channel = of_context.setdefault(key, _Channel(resolved, message_type, qos))
    return channel.add(node, callback, first=first)


class InProcessPublisher:
    """
    Hands images to the listeners of this process alone: there is no topic that others can read.

    As with a subscription that keeps the last one, an executor that is busy gets the newest.

    :param node: the sending node, spun by the executor in whose thread the listeners are called.
    :param topic: topic that they listen to, resolved against the node.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self._node = node
        self.topic_name = node.resolve_topic_name(topic)
        self._lock = threading.Lock()
        self._newest: Any = None

    def publish(self, message: Image | CompressedImage) -> None:
        """Leave a message for the executor's thread; returns at once."""
        executor = self._node.executor
        with self._lock:
            waits = self._newest is not None
            self._newest = message
        if executor is not None and not waits:
            executor.create_task(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            message, self._newest = self._newest, None
        with _channels_lock:
            channels = list(_channels.get(self._node.context, {}).values())
        for channel in channels:
            if channel.carries(self.topic_name, message):
                channel.dispatch(message)
