# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that shows the results: drawn onto the camera image, and as markers in 3-D."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from aitable_msgs.msg import Emotion, FaceArray, Fatigue, Posture
from aitable_ros.perception.faces.people import MAX_PEOPLE
from aitable_ros.ros_support.display.face_markers import FaceMarkers
from aitable_ros.ros_support.display.posture_markers import PostureMarkers
from aitable_ros.ros_support.frames.frame_hub import Frame, stamp_to_ns
from aitable_ros.ros_support.frames.image_conversion import rgb_to_image
from aitable_ros.ros_support.messages.posture import keypoints_of
from aitable_ros.ros_support.messages.results import faces_from_message, faces_taken, head_pose_of
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.network_parameters import IMAGE_PARAMETERS
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin
from aitable_ros.visualization.overlay.scene import draw_scene, face_overlay, posture_overlay

DEMAND_POLL_S = 0.2
THE_PERSON = 'person'
NEWER_NS = 1_000_000_000  # results may be this much ahead of the image that is being shown
SHORTEST_LIFETIME_S = 0.1  # of a marker: 0 would mean for ever


class OverlayNode(ManagedNode):
    """
    Publishes ``overlay`` (sensor_msgs/Image) and ``markers`` (visualization_msgs/MarkerArray).

    The overlay is the very image that the faces were found in, with faces, eyes, labels, PERCLOS,
    the axes of the heads and the posture; the markers show heads and body in 3-D, in the frame of
    the camera.
    Without subscribers nothing is received, drawn or made, and images only for the overlay.
    """

    # without subscribers there is none, as it should be
    NEEDS_INPUT: ClassVar[bool] = False

    RESULTS_WAIT_S: ClassVar[float] = 0.05
    """How long emotion and fatigue of the same image are waited for [s]."""

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        ParameterSpec('draw_mesh', True, 'draw the landmarks', dynamic=True, basic=True),
        ParameterSpec('draw_axes', True, 'draw the axes of the heads', dynamic=True, basic=True),
        ParameterSpec('draw_posture', True, 'draw body and posture', dynamic=True),
        ParameterSpec(
            'max_age',
            1.0,
            'emotion, fatigue and posture are shown for this long after their image [s]',
            (0.0, 60.0),
            dynamic=True,
        ),
    )

    def __init__(self, name: str = 'overlay', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._image_publisher = self.create_publisher(Image, 'overlay', 2)
        self._marker_publisher = self.create_publisher(MarkerArray, 'markers', 2)
        self._markers = FaceMarkers()
        self._emotions: dict[str, Emotion] = {}
        self._fatigues: dict[str, Fatigue] = {}
        self._posture_markers = PostureMarkers()
        # one person's; by a name, as the others are
        self._postures: dict[str, Posture] = {}
        self._arrived = threading.Condition()
        self._result_subscriptions: list[Any] = []
        self._receives_frames = False
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
        self._follow_frames(False)
        self._follow_results(False)

    def reset(self) -> None:
        """Forget the results that were kept."""
        with self._arrived:
            self._emotions.clear()
            self._fatigues.clear()
            self._postures.clear()

    def adapt(self) -> None:
        """Receive images by the transport that is set now."""
        self._follow_frames(self._receives_frames)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add who looks."""
        return (
            ('subscribers of overlay', self._image_publisher.get_subscription_count()),
            ('subscribers of markers', self._marker_publisher.get_subscription_count()),
        )

    def results(self, item: FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """
        Show the faces of one image.

        :param item: its faces. The image itself is looked for in ``frames``; emotion and fatigue
            are those that came last.
        """
        stamp_ns = stamp_to_ns(item.header.stamp)
        frame = self.frames.get(stamp_ns, item.header.frame_id)
        with_markers = self._wants(self._marker_publisher)
        if frame is None and not with_markers:
            return
        self._wait_for_results(item, stamp_ns)
        max_age_ns = int(self.params['max_age'] * 1e9)
        emotions = self._fresh(self._emotions, stamp_ns, max_age_ns)
        fatigues = self._fresh(self._fatigues, stamp_ns, max_age_ns)
        posture = self._fresh(self._postures, stamp_ns, max_age_ns).get(THE_PERSON)
        if frame is not None and self._wants(self._image_publisher):
            yield self._image_publisher, self._draw(item, frame, emotions, fatigues, posture)
        if with_markers:
            lifetime_s = max(self.params['max_age'], SHORTEST_LIFETIME_S)
            self._markers.lifetime_s = self._posture_markers.lifetime_s = lifetime_s
            ids = [face.face_id for face in faces_taken(item)]
            present = {face_id: fatigues[face_id] for face_id in ids if face_id in fatigues}
            array = self._markers.update(item.header, present, emotions)
            their_face = fatigues.get(posture.person_id) if posture is not None else None
            array.markers.extend(self._posture_markers.update(item.header, posture, their_face))
            if array.markers:
                yield self._marker_publisher, array

    def take_emotion(self, message: Emotion) -> None:
        """Keep the emotion of a face until its image is shown."""
        with self._arrived:
            _keep(self._emotions, message.face_id, message)
            self._arrived.notify_all()

    def take_fatigue(self, message: Fatigue) -> None:
        """Keep the fatigue of a face until its image is shown."""
        with self._arrived:
            _keep(self._fatigues, message.face_id, message)
            self._arrived.notify_all()

    def take_posture(self, message: Posture) -> None:
        """Keep the posture until an image is shown."""
        with self._arrived:
            self._postures[THE_PERSON] = message

    def _draw(
        self,
        item: FaceArray,
        frame: Frame,
        emotions: Mapping[str, Emotion],
        fatigues: Mapping[str, Fatigue],
        posture: Posture | None,
    ) -> Image:
        overlays = []
        for face in faces_from_message(item).faces:
            fatigue = fatigues.get(face.face_id)
            pose = head_pose_of(fatigue, item.header)
            overlays.append(face_overlay(face, emotions.get(face.face_id), fatigue, pose))
        body = None
        if posture is not None and self.params['draw_posture']:
            body = posture_overlay(posture, keypoints_of(posture))
        picture = draw_scene(
            frame.rgb(),
            overlays,
            body,
            mesh=self.params['draw_mesh'],
            axes=self.params['draw_axes'],
        )
        return rgb_to_image(picture, item.header, 'rgb8')

    def _wants(self, publisher: Publisher) -> bool:
        """Tell whether somebody gets it: a subscriber, or a tool that works offline."""
        return not self.is_active or publisher.get_subscription_count() > 0

    def _follow_demand(self) -> None:
        image = self._image_publisher.get_subscription_count() > 0
        self._follow_frames(image)
        self._follow_results(image or self._marker_publisher.get_subscription_count() > 0)

    def _follow_frames(self, wanted: bool) -> None:
        if wanted:
            self.subscribe_to_frames(self.frames.add)
        else:
            self.unsubscribe_from_frames()
            self.frames.clear()
        self._receives_frames = wanted

    def _follow_results(self, wanted: bool) -> None:
        if wanted and not self._result_subscriptions:
            self._result_subscriptions = [
                self.create_subscription(FaceArray, 'faces', self.offer, 10),
                self.create_subscription(Emotion, 'emotion', self.take_emotion, 10),
                self.create_subscription(Fatigue, 'fatigue', self.take_fatigue, 10),
                self.create_subscription(Posture, 'posture', self.take_posture, 10),
            ]
        elif not wanted:
            for subscription in self._result_subscriptions:
                self.destroy_subscription(subscription)
            self._result_subscriptions = []

    def _fresh(self, results: dict[str, Any], stamp_ns: int, max_age_ns: int) -> dict[str, Any]:
        """
        Give the results that belong to this image or to one shortly before.

        What is far in the future is from before the time was set back, as when a bag is replayed.
        The others stay: the image may be one with a wrong stamp.
        """
        with self._arrived:
            return {
                face_id: result
                for face_id, result in results.items()
                if -NEWER_NS <= stamp_ns - stamp_to_ns(result.header.stamp) <= max_age_ns
            }

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
                for face in faces_taken(faces)
            )

        with self._arrived:
            self._arrived.wait_for(complete, self.RESULTS_WAIT_S)


def _keep(results: dict[str, Any], face_id: str, message: Any) -> None:
    """Keep what came last, of so many people at most."""
    results.pop(face_id, None)
    results[face_id] = message
    if len(results) > MAX_PEOPLE:
        del results[next(iter(results))]


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [OverlayNode()], args)


if __name__ == '__main__':
    main()
