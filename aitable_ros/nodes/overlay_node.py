# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that draws the results onto the camera image."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from sensor_msgs.msg import Image

from aitable_msgs.msg import Emotion, FaceArray, Fatigue
from aitable_ros.ros_support.executor import spin
from aitable_ros.ros_support.frame_buffer import FrameBuffer
from aitable_ros.ros_support.frame_hub import stamp_to_ns
from aitable_ros.ros_support.image_conversion import rgb_to_image
from aitable_ros.ros_support.managed_node import ManagedNode
from aitable_ros.ros_support.overlay_conversion import face_overlay
from aitable_ros.ros_support.parameters import IMAGE_PARAMETERS, ParameterSpec
from aitable_ros.visualization.overlay import draw_overlay

DEMAND_POLL_S = 0.2
RESULTS_WAIT_S = 0.05


class OverlayNode(ManagedNode):
    """
    Publishes ``overlay`` (sensor_msgs/Image): the image with faces, eyes, labels and PERCLOS.

    Draws on the very frame that the faces were found in. Without subscribers it neither
    receives nor draws anything.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        ParameterSpec('draw_mesh', True, 'draw the landmarks', dynamic=True),
        ParameterSpec(
            'max_age',
            1.0,
            'emotion and fatigue are drawn for this long after their image [s]',
            minimum=0.0,
            maximum=60.0,
            dynamic=True,
        ),
    )

    def __init__(self, name: str = 'overlay', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Image, 'overlay', 2)
        self._buffer = FrameBuffer()
        self._emotions: dict[str, Emotion] = {}
        self._fatigues: dict[str, Fatigue] = {}
        self._arrived = threading.Condition()
        self._result_subscriptions: list[Any] = []
        self._demand_timer: Any = None

    def start(self) -> None:
        """Begin to watch for subscribers."""
        self._demand_timer = self.create_timer(DEMAND_POLL_S, self._follow_demand)
        self._follow_demand()

    def stop(self) -> None:
        """Unsubscribe from everything."""
        timer, self._demand_timer = self._demand_timer, None
        if timer is not None:
            self.destroy_timer(timer)
        self._unsubscribe()

    def process(self, item: FaceArray) -> None:
        """Draw one frame."""
        stamp_ns = stamp_to_ns(item.header.stamp)
        frame = self._buffer.get(stamp_ns)
        if frame is None:
            return
        self._wait_for_results(item, stamp_ns)
        oldest_ns = stamp_ns - int(self.params['max_age'] * 1e9)
        overlays = [
            face_overlay(
                face,
                _fresh(self._emotions.get(face.face_id), oldest_ns),
                _fresh(self._fatigues.get(face.face_id), oldest_ns),
            )
            for face in item.faces
        ]
        picture = draw_overlay(frame.rgb(), overlays, mesh=self.params['draw_mesh'])
        self._publisher.publish(rgb_to_image(picture, item.header, 'rgb8'))
        self.note_published(item.header.stamp)
        self._forget(oldest_ns)

    def _follow_demand(self) -> None:
        wanted = self._publisher.get_subscription_count() > 0
        if wanted and not self._result_subscriptions:
            self.subscribe_to_frames(self._buffer.add)
            self._result_subscriptions = [
                self.create_subscription(FaceArray, 'faces', self.offer, 10),
                self.create_subscription(Emotion, 'emotion', self._take_emotion, 10),
                self.create_subscription(Fatigue, 'fatigue', self._take_fatigue, 10),
            ]
        elif not wanted and self._result_subscriptions:
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        self.unsubscribe_from_frames()
        for subscription in self._result_subscriptions:
            self.destroy_subscription(subscription)
        self._result_subscriptions = []
        self._buffer.clear()

    def _take_emotion(self, message: Emotion) -> None:
        with self._arrived:
            self._emotions[message.face_id] = message
            self._arrived.notify_all()

    def _take_fatigue(self, message: Fatigue) -> None:
        with self._arrived:
            self._fatigues[message.face_id] = message
            self._arrived.notify_all()

    def _wait_for_results(self, faces: FaceArray, stamp_ns: int) -> None:
        """Give the other nodes a moment to finish the same frame."""
        awaited = [
            results
            for topic, results in (('emotion', self._emotions), ('fatigue', self._fatigues))
            if self.count_publishers(topic)
        ]

        def complete() -> bool:
            return all(
                face.face_id in results
                and stamp_to_ns(results[face.face_id].header.stamp) >= stamp_ns
                for results in awaited
                for face in faces.faces
            )

        with self._arrived:
            self._arrived.wait_for(complete, RESULTS_WAIT_S)

    def _forget(self, oldest_ns: int) -> None:
        with self._arrived:
            for results in (self._emotions, self._fatigues):
                for face_id, result in list(results.items()):
                    if stamp_to_ns(result.header.stamp) < oldest_ns:
                        del results[face_id]


def _fresh(result: Any, oldest_ns: int) -> Any:
    if result is None or stamp_to_ns(result.header.stamp) < oldest_ns:
        return None
    return result


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [OverlayNode()], args)


if __name__ == '__main__':
    main()
