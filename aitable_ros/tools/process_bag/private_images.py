# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded pictures that show no faces, in the place of those that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aitable_ros.bags import BagTopic, find_definition
from aitable_ros.bags.definitions import Canonical
from aitable_ros.bags.reading import IMAGE
from aitable_ros.tools.process_bag.offline_pipeline import Result
from aitable_ros.visualization.overlay.privacy_modes import MESH, NO_IMAGE, NONE, SHOWS_IMAGE

DRAWING = {'draw_mesh': True, 'draw_axes': True, 'draw_posture': True}


class PrivateImages:
    """
    Decides what becomes of a bag's pictures.

    :param privacy: of :data:`~aitable_ros.visualization.overlay.privacy.PRIVACY`.
    :param images: topic of the images that the nodes are fed; None: there is none.
    """

    def __init__(self, privacy: str, images: BagTopic | None) -> None:
        from aitable_msgs.msg import Attention, Emotion, FaceArray, Fatigue, Posture
        from aitable_ros.visualization.overlay.privacy import LastPlaces

        self._privacy = privacy
        self._images = images
        self._places = LastPlaces()
        self._classes: dict[str, Any] = {
            f'aitable_msgs/msg/{one.__name__}': one
            for one in (FaceArray, Emotion, Fatigue, Attention, Posture)
        }

    def changes(self, topic: BagTopic) -> bool:
        """Tell whether messages of a topic are replaced."""
        return self._privacy not in (NONE, NO_IMAGE) and topic is self._images

    def drops(self, topic: BagTopic) -> bool:
        """Tell whether a topic is left out: whose faces were not looked for cannot be hidden."""
        return self._privacy != NONE and topic.is_image and not self.changes(topic)

    def replaced(self, topic: BagTopic, data: bytes, found: Sequence[Result]) -> bytes | None:
        """
        Draw what may be seen of an image.

        :param data: the serialised image.
        :param found: what was computed from it.
        :returns: the serialised picture, of the same type; None where its faces are not known.
        """
        from rclpy.serialization import deserialize_message, serialize_message
        from sensor_msgs.msg import CompressedImage, Image

        from aitable_ros.perception.images.decoding import image_to_rgb
        from aitable_ros.ros_support.display.scene_input import Scene, draw
        from aitable_ros.ros_support.frames.image_conversion import rgb_to_compressed, rgb_to_image

        heard: dict[str, list[Any]] = {kind: [] for kind in self._classes}
        for result in found:
            if result.type_name in heard:
                message = deserialize_message(result.data, self._classes[result.type_name])
                heard[result.type_name].append(message)
        arrays, emotions, fatigues, attentions, postures = heard.values()
        if not arrays:
            return None
        original = deserialize_message(
            data, Image if topic.type_name == IMAGE else CompressedImage
        )
        scene = Scene(
            {message.face_id: message for message in emotions},
            {message.face_id: message for message in fatigues},
            postures[0] if postures else None,
            {message.face_id: message for message in attentions},
        )
        picture = draw(
            arrays[0],
            image_to_rgb(original) if self._privacy in SHOWS_IMAGE else None,
            scene,
            self._places,
            {**DRAWING, 'privacy': self._privacy},
            readings=self._privacy == MESH,
        )
        make = rgb_to_image if topic.type_name == IMAGE else rgb_to_compressed
        definition = find_definition(topic.type_name)
        assert definition is not None
        return Canonical(definition)(serialize_message(make(picture, original.header)))
