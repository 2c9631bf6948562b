# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that tells where people look, what has happened, and when to act."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future
from typing import Any, ClassVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from aitable_msgs.msg import Alert, Attention, Event, FaceArray, Fatigue, Posture
from aitable_ros.nodes.attention_parameters import (
    ATTENTION_PARAMETERS,
    alert_settings,
    attention_settings,
)
from aitable_ros.perception.alerts.observer import AlertObserver
from aitable_ros.perception.attention.gaze import GazeState
from aitable_ros.perception.attention.observer import AttentionObserver, AttentionReading
from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.perception.maths.rotation import rotate
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.alerts import (
    alert_to_message,
    face_signs,
    posture_signs,
)
from aitable_ros.ros_support.messages.attention import (
    attention_to_message,
    event_to_message,
    gaze_frame,
    head_pose_from,
)
from aitable_ros.ros_support.messages.face_transforms import FaceTransforms
from aitable_ros.ros_support.messages.faces_with_fatigue import FacesAndFatigue, FacesWithFatigue
from aitable_ros.ros_support.messages.results import is_identifier
from aitable_ros.ros_support.node.diagnostics import order_values
from aitable_ros.ros_support.node.faces_input import FacesInputNode
from aitable_ros.ros_support.node.hand_over import Taker
from aitable_ros.ros_support.node.operations import reply_later
from aitable_ros.ros_support.node.services import answer
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin

KEPT_ALERTS = 32
"""So many alerts are kept for late subscribers."""


class AttentionNode(FacesInputNode):
    """
    Publishes ``attention`` (aitable_msgs/Attention), one message per face, ``events`` and
    ``alerts``.

    It works on what the others publish: the landmarks of ``faces``, the head poses and eyes of
    ``fatigue``, and ``posture`` where it is there. ``alerts`` keeps the last ones for late
    subscribers. TF ``gaze_<id>`` is where the eyes look, or where the head points.
    """

    # every sample counts in a time series: let a few wait rather than lose one
    QUEUE_DEPTH: ClassVar[int] = 30

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = ATTENTION_PARAMETERS

    def __init__(self, name: str = 'attention', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        latched = QoSProfile(depth=KEPT_ALERTS, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._attention = self.create_publisher(Attention, 'attention', 10)
        self._events = self.create_publisher(Event, 'events', 100)
        self._alerts = self.create_publisher(Alert, 'alerts', latched)
        self._transforms = FaceTransforms(self)
        self._pairs = FacesAndFatigue()
        self._pairing = threading.Lock()  # faces come from the thread that found them
        self._others: list[Any] = []
        self.loaded: AttentionObserver | None = None
        self._watch = AlertObserver()
        for service, action in (
            ('~/set_front', self.set_front_now),
            ('~/acknowledge', self.acknowledge_now),
        ):
            reply_later(
                self.create_service(
                    Trigger,
                    service,
                    lambda request, response: response,
                    callback_group=ReentrantCallbackGroup(),
                ),
                self._answering(service, action),
            )

    def load(self, values: Mapping[str, Any]) -> AttentionObserver:
        """Read the thresholds, which are checked together here."""
        alert_settings(values)
        return AttentionObserver(attention_settings(values))

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds; whose window does not fit them starts anew."""
        assert self.loaded is not None
        self.loaded.adopt(attention_settings(values))
        self._watch.policy.adopt(alert_settings(values))

    def check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        """Refuse thresholds that contradict each other."""
        attention_settings(values)
        alert_settings(values)

    def start(self) -> None:
        """Subscribe to what the others publish."""
        self._faces = Taker(self, FaceArray, 'faces', self._take_faces)
        self._others = [
            self.create_subscription(Fatigue, 'fatigue', self._take_fatigue, 30),
            self.create_subscription(Posture, 'posture', self.offer, 10),
        ]

    def stop(self) -> None:
        """Unsubscribe."""
        super().stop()
        others, self._others = self._others, []
        for subscription in others:
            self.destroy_subscription(subscription)
        with self._pairing:
            self._pairs.clear()

    def reset(self) -> None:
        """Forget everybody; the alerts end with the next reading."""
        super().reset()
        self._watch.reset()

    def results(self, item: FacesWithFatigue | Posture) -> Iterator[tuple[Publisher, Any]]:
        """Take the faces of an image, or a posture."""
        if isinstance(item, Posture):
            yield from self._posture_results(item)
        else:
            yield from self._face_results(item)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add who is there, and the alerts that are on."""
        observer = self.loaded
        yield 'faces', self.face_count
        yield 'faces without fatigue', self._pairs.incomplete
        yield 'tf', self._transforms.problem or 'gaze_<id>'
        if observer is None:
            return
        yield 'people', observer.people
        yield from order_values(observer.stream)
        alerts = [f'{a.person or "person"}: {a.level.name}: {a.reason}' for a in self._alerts_on()]
        yield 'alerts', '; '.join(alerts) or 'none'

    def set_front_now(self) -> str:
        """
        Take where everybody looks now for their natural direction to the front.

        :raises RuntimeError: when nobody is seen, or the node is not at work.
        """
        observer = self.loaded
        assert observer is not None
        count = observer.set_front()
        if not count:
            raise RuntimeError('it is not known where anybody looks now')
        return f'where {count} people look now is their front'

    def acknowledge_now(self) -> str:
        """Take note of all alerts."""
        count = self._watch.policy.acknowledge()
        return f'{count} alerts are acknowledged' if count else 'there is no alert'

    def _alerts_on(self) -> Sequence[Any]:
        return self._watch.policy.alerts

    def _take_faces(self, message: FaceArray) -> None:
        with self._pairing:
            for complete in self._pairs.faces(message):
                self.offer(complete)

    def _take_fatigue(self, message: Fatigue) -> None:
        with self._pairing:
            for complete in self._pairs.fatigue(message):
                self.offer(complete)

    def _face_results(self, item: FacesWithFatigue) -> Iterator[tuple[Publisher, Any]]:
        observer = self.loaded
        assert observer is not None
        header = item.faces.header
        seen = self.seen_in(item.faces)
        found = {face_id: head_pose_from(one) for face_id, one in item.fatigues.items()}
        poses = {face_id: pose for face_id, pose in found.items() if pose is not None}
        readings = observer.observe(seen, poses)
        self.tell_order(observer.stream)
        for reading in readings:
            yield self._attention, attention_to_message(reading, header)
        # tf2 takes nothing any more that is older than what came with a wrong stamp
        if self.values['publish_tf'] and not observer.stream.is_late:
            yield from self._transforms.messages(_gazes(header, readings, poses))
        for event in observer.events:
            yield self._events, event_to_message(event, header)
        signs = {
            one.face.face_id: face_signs(item.fatigues[one.face.face_id], one) for one in readings
        }
        stream = observer.stream
        for alert in self._watch.faces(
            stream.now_s, signs, observer.present, seen.seeing, anew=stream.anew
        ):
            yield self._alerts, alert_to_message(alert, header)

    def _posture_results(self, item: Posture) -> Iterator[tuple[Publisher, Any]]:
        if item.person_id and not is_identifier(item.person_id):
            return
        events, alerts = self._watch.posture(
            stamp_to_ns(item.header.stamp) * 1e-9,
            item.person_id,
            posture_signs(item),
            item.state_s,
            item.still_s,
        )
        for event in events:
            yield self._events, event_to_message(event, item.header)
        for alert in alerts:
            yield self._alerts, alert_to_message(alert, item.header)

    def _answering(
        self, service: str, action: Callable[[], str]
    ) -> Callable[[Any, Any], Future[Any]]:
        def in_worker() -> str:
            worker = self._worker
            if worker is None or not (self.is_active and self.is_enabled):
                raise RuntimeError('the node is not at work')
            return worker.call(action).result()

        return lambda request, response: answer(self, service, in_worker, response)


def _gazes(
    header: Header, readings: Sequence[AttentionReading], poses: Mapping[str, HeadPose]
) -> Iterator[Any]:
    """Give the frames: along the gaze, or where that is not known along the head."""
    if not header.frame_id:
        return
    for reading in readings:
        pose = poses.get(reading.face.face_id)
        if pose is None:
            continue
        valid = reading.gaze.state is GazeState.MEASURED
        ahead = rotate(pose.orientation_xyzw, (1.0, 0.0, 0.0))
        direction = reading.gaze.direction if valid else ahead
        yield gaze_frame(header, reading.face.face_id, pose.position_m, direction)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [AttentionNode()], args)


if __name__ == '__main__':
    main()
