# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that tells programs made for ROS4HRI (REP-155) what was seen."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from rclpy.publisher import Publisher
from sensor_msgs.msg import Image

from aitable_msgs.msg import Attention, Emotion, Face, FaceArray, Fatigue
from aitable_ros.perception.images.stream_order import LATE_S, StreamOrder
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.frames.image_conversion import rgb_to_image
from aitable_ros.ros_support.messages.hri import (
    cropped_face,
    expression_message,
    gaze_message,
    gaze_transform,
    hri_types,
    landmarks_message,
    roi_message,
    sleepiness,
)
from aitable_ros.ros_support.messages.results import FACES_TAKEN, faces_taken
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.network_parameters import (
    IMAGE_PARAMETERS,
    PUBLISH_IMAGES,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin

FACES = '/humans/faces'
GAZE = '/humans/interactions/gaze'
POLL_S = 0.2


class _FaceTopics(NamedTuple):
    """The publishers of one face."""

    roi: Publisher
    cropped: Publisher | None  # images may be switched off
    landmarks: Publisher
    expression: Publisher


class HriNode(ManagedNode):
    """
    Publishes ``/humans/faces/tracked`` and the topics of each face as REP-155 says.

    That is ``roi``, ``cropped``, ``landmarks`` and ``expression`` under ``/humans/faces/<id>/``,
    ``/humans/interactions/gaze`` for who looks at the table, and TF ``gaze_<id>`` along the head,
    unless the attention node has it along the eyes; ``face_<id>`` comes from the fatigue node.
    Ids are those of aitable. A face's publishers are made when it appears and destroyed when it
    has left. What nobody listens to is not made; images are received while somebody listens to a
    ``cropped``.

    Needs ``hri_msgs``; without it the node stays unconfigured and says so.
    """

    # an Emotion and a Fatigue follow every FaceArray
    QUEUE_DEPTH: ClassVar[int] = 30

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        ParameterSpec('face_width', 128, 'width of the cropped faces [pixels]', (8, 2048)),
        ParameterSpec('face_height', 128, 'height of the cropped faces [pixels]', (8, 2048)),
        ParameterSpec(
            'sleepy_expressions',
            'asleep',
            'which fatigue levels take the place of the expression: asleep: ASLEEP as "asleep"; '
            'tired: SEVERE and MICROSLEEP as "tired", too; none',
            choices=('none', 'asleep', 'tired'),
            dynamic=True,
        ),
        ParameterSpec('publish_gaze', True, 'broadcast TF frames gaze_<id>', dynamic=True),
        PUBLISH_IMAGES,
    )

    def __init__(self, name: str = 'hri', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._tracked: Publisher | None = None
        self._tf: Publisher | None = None
        self._gaze: Publisher | None = None
        self._measured_by_others = False
        self._topics: Mapping[str, _FaceTopics] = {}
        # Held while messages are published: meanwhile no publisher may be destroyed.
        self._publishing = threading.Lock()
        self._gone: list[_FaceTopics] = []
        self._presence: dict[str, float] = {}
        self._fatigues: dict[str, Fatigue] = {}
        self._without_image = 0
        self._order = StreamOrder()
        self._subscriptions_here: list[Any] = []
        self._timer: Any = None
        try:
            from tf2_msgs.msg import TFMessage

            self._tf_message: Any = TFMessage
        except ImportError:
            self._tf_message = None

    @property
    def is_required(self) -> bool:
        """False: hri_msgs is an extra."""
        return False

    def load(self, values: Mapping[str, Any]) -> Any:
        """Find the message types; RuntimeError: hri_msgs is not installed."""
        return hri_types()

    def start(self) -> None:
        """Subscribe, and announce the list of faces."""
        self._tracked = self.create_publisher(self.loaded.IdsList, f'{FACES}/tracked', 10)
        if self._tf_message is not None:
            self._tf = self.create_publisher(self._tf_message, '/tf', 100)
        self._subscriptions_here = [
            self.create_subscription(FaceArray, 'faces', self._take_faces, 10),
            self.create_subscription(Emotion, 'emotion', self.offer, 10),
            self.create_subscription(Fatigue, 'fatigue', self.offer, 10),
            self.create_subscription(Attention, 'attention', self.offer, 10),
        ]
        self._measured_by_others = self.count_publishers('attention') > 0
        if hasattr(self.loaded, 'Gaze'):
            self._gaze = self.create_publisher(self.loaded.Gaze, GAZE, 10)
        self._timer = self.create_timer(POLL_S, self._follow_demand)

    def stop(self) -> None:
        """Take everything back."""
        timer, self._timer = self._timer, None
        if timer is not None:
            self.destroy_timer(timer)
        for subscription in self._subscriptions_here:
            self.destroy_subscription(subscription)
        self._subscriptions_here = []
        with self._publishing:
            self._retire(self._topics)
            self._destroy_gone()
            for publisher in (self._tracked, self._tf, self._gaze):
                if publisher is not None:
                    self.destroy_publisher(publisher)
            self._tracked = self._tf = self._gaze = None
        self.frames.clear()

    def adapt(self) -> None:
        """Receive images by the transport that is set now."""
        self._follow_demand()

    def reset(self) -> None:
        """Forget the faces' fatigue."""
        self._order.reset()
        self._presence.clear()
        self._fatigues.clear()

    def process(self, item: FaceArray | Emotion | Fatigue | Attention) -> None:
        """Publish what follows from one message."""
        with self._publishing:
            super().process(item)

    def results(
        self, item: FaceArray | Emotion | Fatigue | Attention
    ) -> Iterator[tuple[Publisher, Any]]:
        """Translate one message: the faces of an image, or what was found of one of them."""
        if isinstance(item, FaceArray):
            yield from self._face_results(item)
        elif isinstance(item, Emotion):
            yield from self._expression_results(item)
        elif isinstance(item, Attention):
            yield from self._gaze_results(item)
        else:
            yield from self._fatigue_results(item)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add who is tracked, and whether images are received."""
        return (
            ('faces', ', '.join(self._topics) or 'none'),
            ('images for cropped', 'yes' if self._wants_images() else 'no subscriber'),
            ('faces without their image', self._without_image),
            ('tf', 'gaze_<id>' if self._tf_message else 'tf2_msgs is not installed'),
        )

    def _face_results(self, item: FaceArray) -> Iterator[tuple[Publisher, Any]]:
        topics, types = self._topics, self.loaded
        faces, waiting = faces_taken(item.faces), faces_taken(item.waiting)
        self._order.advance(stamp_to_ns(item.header.stamp) * 1e-9)
        self._presence = {
            **{face.face_id: self._presence.get(face.face_id, 0.0) for face in waiting},
            **{face.face_id: face.presence for face in faces},
        }
        self._fatigues = {k: v for k, v in self._fatigues.items() if k in self._presence}
        if self._tracked is not None:
            yield self._tracked, types.IdsList(header=item.header, ids=list(self._presence))
        for face in faces:
            of_face = topics.get(face.face_id)
            if of_face is None or min(face.image_width, face.image_height) < 1:
                continue
            if _is_heard(of_face.roi):
                yield of_face.roi, roi_message(types, face)
            if _is_heard(of_face.landmarks):
                landmarks = landmarks_message(types, face)
                if landmarks is not None:
                    yield of_face.landmarks, landmarks
            if of_face.cropped is not None and _is_heard(of_face.cropped):
                yield from self._cropped_results(of_face.cropped, face)

    def _cropped_results(
        self, publisher: Publisher, face: Face
    ) -> Iterator[tuple[Publisher, Image]]:
        frame = self.frames.get(stamp_to_ns(face.header.stamp), face.header.frame_id)
        if frame is None:
            self._without_image += 1
            return
        size_px = (self.params['face_width'], self.params['face_height'])
        picture = cropped_face(frame.rgb(), face, size_px)
        yield publisher, rgb_to_image(picture, face.header, 'rgb8')

    def _expression_results(self, item: Emotion) -> Iterator[tuple[Publisher, Any]]:
        of_face = self._topics.get(item.face_id)
        if of_face is None or not _is_heard(of_face.expression):
            return
        choice = self.params['sleepy_expressions']
        sleepy = ''
        if choice != 'none':
            sleepy = sleepiness(self._fatigues.get(item.face_id), tired=choice == 'tired')
        certainty = self._presence.get(item.face_id, 0.0)
        yield of_face.expression, expression_message(self.loaded, item, sleepy, certainty)

    def _fatigue_results(self, item: Fatigue) -> Iterator[tuple[Publisher, Any]]:
        if item.face_id not in self._presence:
            return
        self._fatigues[item.face_id] = item
        if self._tf is None or self._measured_by_others or not self.params['publish_gaze']:
            return
        # tf2 takes nothing any more that is older than what came with a wrong stamp
        age_s = self._order.now_s - stamp_to_ns(item.header.stamp) * 1e-9
        if not abs(age_s) <= LATE_S:
            return
        gaze = gaze_transform(item)
        if gaze is not None:
            yield self._tf, self._tf_message(transforms=[gaze])

    def _gaze_results(self, item: Attention) -> Iterator[tuple[Publisher, Any]]:
        publisher = self._gaze
        if publisher is None or item.face_id not in self._presence or not _is_heard(publisher):
            return
        gaze = gaze_message(self.loaded, item)
        if gaze is not None:
            yield publisher, gaze

    def _take_faces(self, message: FaceArray) -> None:
        """Make and retire publishers; in the executor's thread, as has to be."""
        all_faces = [*message.faces, *message.waiting]
        present = {face.face_id for face in faces_taken(all_faces)}
        left_out = len({face.face_id for face in all_faces}) - len(present)
        if left_out:
            self.seldom.warn('ids', f'{left_out} faces of an image are left out: {FACES_TAKEN}')
        self._retire({k: v for k, v in self._topics.items() if k not in present})
        for face_id in sorted(present - set(self._topics)):
            self._topics = {**self._topics, face_id: self._make_topics(face_id)}
        self.offer(message)

    def _make_topics(self, face_id: str) -> _FaceTopics:
        types, name = self.loaded, f'{FACES}/{face_id}'
        return _FaceTopics(
            roi=self.create_publisher(types.NormalizedRegionOfInterest2D, f'{name}/roi', 10),
            cropped=self.create_publisher(Image, f'{name}/cropped', 2)
            if self.params['publish_images']
            else None,
            landmarks=self.create_publisher(types.FacialLandmarks, f'{name}/landmarks', 10),
            expression=self.create_publisher(types.Expression, f'{name}/expression', 10),
        )

    def _retire(self, topics: Mapping[str, _FaceTopics]) -> None:
        """Let nobody use these any more; they are destroyed as soon as nothing is published."""
        self._gone += topics.values()
        self._topics = {k: v for k, v in self._topics.items() if k not in topics}

    def _destroy_gone(self) -> None:
        """With ``_publishing`` held, in the executor's thread."""
        gone, self._gone = self._gone, []
        for topics in gone:
            for publisher in topics:
                if publisher is not None:
                    self.destroy_publisher(publisher)

    def _follow_demand(self) -> None:
        """Receive images while they are wanted, and destroy what is left of faces that left."""
        # an executor does not wait: what is being published now is destroyed next time
        if self._gone and self._publishing.acquire(blocking=False):
            try:
                self._destroy_gone()
            finally:
                self._publishing.release()
        self._measured_by_others = self.count_publishers('attention') > 0
        if self._wants_images():
            self.subscribe_to_frames(self.frames.add)
        else:
            self.unsubscribe_from_frames()
            self.frames.clear()

    def _wants_images(self) -> bool:
        return any(_is_heard(topics.cropped) for topics in self._topics.values())


def _is_heard(publisher: Publisher | None) -> bool:
    return publisher is not None and bool(publisher.get_subscription_count() > 0)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [HriNode()], args)


if __name__ == '__main__':
    main()
