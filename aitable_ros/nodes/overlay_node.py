# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that shows the results: drawn onto the camera image, and as markers in 3-D."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from aitable_msgs.msg import FaceArray
from aitable_ros.ros_support.display.face_markers import FaceMarkers
from aitable_ros.ros_support.display.posture_markers import PostureMarkers
from aitable_ros.ros_support.display.scene_input import (
    DRAWING_PARAMETERS,
    Scene,
    SceneInput,
    draw,
    privacy_parameter,
)
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.frames.image_conversion import rgb_to_compressed, rgb_to_image
from aitable_ros.ros_support.messages.results import faces_taken
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.network_parameters import (
    IMAGE_PARAMETERS,
    PUBLISH_IMAGES,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin
from aitable_ros.visualization.overlay.privacy import LastPlaces
from aitable_ros.visualization.overlay.privacy_modes import NO_IMAGE, NONE, SHOWS_IMAGE

DEMAND_POLL_S = 0.2
SHORTEST_LIFETIME_S = 0.1  # of a marker: 0 would mean for ever


class OverlayNode(ManagedNode):
    """
    Publishes annotated images and markers.

    These are ``overlay`` (sensor_msgs/Image), ``overlay/compressed`` (sensor_msgs/CompressedImage,
    JPEG) and ``markers`` (visualization_msgs/MarkerArray). The overlay is the very image that the
    faces were found in, or as much of it as ``privacy`` lets be seen, with faces, eyes, labels,
    PERCLOS, the axes of the heads and the posture; the markers show heads and body in 3-D, in the
    frame of the camera.
    Without subscribers nothing is received, drawn or made, and images only for the overlay.
    """

    # without subscribers there is none, as it should be
    NEEDS_INPUT: ClassVar[bool] = False

    RESULTS_WAIT_S: ClassVar[float] = 0.05
    """How long emotion and fatigue of the same image are waited for [s]."""

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        *DRAWING_PARAMETERS,
        privacy_parameter(NONE),
        PUBLISH_IMAGES,
        ParameterSpec('jpeg_quality', 80, 'quality of overlay/compressed', (1, 100), dynamic=True),
    )

    def __init__(self, name: str = 'overlay', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._image_publisher: Publisher | None = None
        self._jpeg_publisher: Publisher | None = None
        if self.params['publish_images']:
            self._image_publisher = self.create_publisher(Image, 'overlay', 2)
            compressed = self.resolve_topic_name('overlay') + '/compressed'
            self._jpeg_publisher = self.create_publisher(CompressedImage, compressed, 2)
        self._marker_publisher = self.create_publisher(MarkerArray, 'markers', 2)
        self._markers = FaceMarkers()
        self._posture_markers = PostureMarkers()
        self.found = SceneInput(self, self.offer)
        self._places = LastPlaces()
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
        self.found.follow(False)

    def reset(self) -> None:
        """Forget the results that were kept."""
        self.found.clear()
        self._places = LastPlaces()

    def adapt(self) -> None:
        """Receive images by the transport that is set now."""
        self._follow_frames(self._receives_frames)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add who looks."""
        return (
            ('subscribers of overlay', _listeners(self._image_publisher)),
            ('subscribers of overlay/compressed', _listeners(self._jpeg_publisher)),
            ('subscribers of markers', _listeners(self._marker_publisher)),
            ('privacy', self.params['privacy']),
        )

    def results(self, item: FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """
        Show the faces of one image.

        :param item: its faces. The image itself is looked for in ``frames``; emotion and fatigue
            are those that came last.
        """
        privacy = self.values['privacy']
        frame = self.frames.get(stamp_to_ns(item.header.stamp), item.header.frame_id)
        seen = frame is not None if privacy in SHOWS_IMAGE else privacy != NO_IMAGE
        pictures = [
            publisher
            for publisher in (self._image_publisher, self._jpeg_publisher)
            if publisher is not None and seen and self._wants(publisher)
        ]
        with_markers = self._wants(self._marker_publisher)
        if not pictures and not with_markers:
            return
        scene = self.found.scene(item, self.values['max_age'], self.RESULTS_WAIT_S)
        if pictures:
            image = frame.rgb() if frame is not None and privacy in SHOWS_IMAGE else None
            picture = draw(item, image, scene, self._places, self.values)
            for publisher in pictures:
                if publisher is self._image_publisher:
                    yield publisher, rgb_to_image(picture, item.header, 'rgb8')
                else:
                    quality = self.values['jpeg_quality']
                    yield publisher, rgb_to_compressed(picture, item.header, quality)
        if with_markers:
            array = self._marker_array(item, scene)
            if array.markers:
                yield self._marker_publisher, array

    def _marker_array(self, item: FaceArray, scene: Scene) -> MarkerArray:
        lifetime_s = max(self.values['max_age'], SHORTEST_LIFETIME_S)
        self._markers.lifetime_s = self._posture_markers.lifetime_s = lifetime_s
        fatigues, posture = scene.fatigues, scene.posture
        ids = [face.face_id for face in faces_taken([*item.faces, *item.waiting])]
        present = {face_id: fatigues[face_id] for face_id in ids if face_id in fatigues}
        array = self._markers.update(item.header, present, scene.emotions, scene.attentions)
        their_face = fatigues.get(posture.person_id) if posture is not None else None
        array.markers.extend(self._posture_markers.update(item.header, posture, their_face))
        return array

    def _wants(self, publisher: Publisher | None) -> bool:
        """Tell whether somebody gets it: a subscriber, or a tool that works offline."""
        return publisher is not None and (not self.is_active or _listeners(publisher) > 0)

    def _follow_demand(self) -> None:
        image = _listeners(self._image_publisher) + _listeners(self._jpeg_publisher) > 0
        self._follow_frames(image and self.params['privacy'] in SHOWS_IMAGE)
        self.found.follow(image or _listeners(self._marker_publisher) > 0)

    def _follow_frames(self, wanted: bool) -> None:
        if wanted:
            self.subscribe_to_frames(self.frames.add)
        else:
            self.unsubscribe_from_frames()
            self.frames.clear()
        self._receives_frames = wanted


def _listeners(publisher: Publisher | None) -> int:
    return 0 if publisher is None else int(publisher.get_subscription_count())


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [OverlayNode()], args)


if __name__ == '__main__':
    main()
