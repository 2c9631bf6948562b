# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a report is of, out of a bag that holds results, live or of process_bag."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from aitable_ros.bags import BagError, BagMessage, BagReader
from aitable_ros.bags.topics import choose_images
from aitable_ros.tools.process_bag.offline_pipeline import Result
from aitable_ros.tools.process_bag.private_images import PrivateImages
from aitable_ros.tools.process_bag.rows import FACES, ResultRows
from aitable_ros.tools.report.digest import Digest
from aitable_ros.tools.report.pictures import PICTURE_EVERY_S, add_picture
from aitable_ros.visualization.overlay.privacy_modes import NO_IMAGE, NONE

_WAITED_S = 2.0
"""Results come at most so long after their image, as they were logged."""


def digest_of_bag(path: Path, name: str, privacy: str = NO_IMAGE) -> Digest:
    """
    Read the results that are in a bag.

    :param name: what the recording is called.
    :param privacy: what pictures show, one a minute; ``no_image``: there are none.
    :raises BagError: when the bag cannot be read, or holds no results.
    """
    digest = Digest(name)
    with BagReader(path) as bag:
        if not any(topic.type_name == FACES for topic in bag.topics):
            raise BagError(f'{path}: no results in it: run process_bag on it, or analyze --report')
        images = choose_images(bag, '') if privacy != NO_IMAGE else None
        pictures = _Pictures(digest, privacy, images)
        rows = ResultRows([digest], name)
        for message in bag.messages(
            [t for t in bag.topics if t.type_name.startswith('aitable_msgs/') or t is images]
        ):
            if message.topic is images:
                pictures.keep(message)
                continue
            result = Result(message.topic.name, message.topic.type_name, message.data)
            rows.add([result])
            if message.topic.type_name == FACES:
                pictures.take(result)
    return digest


class _Pictures:
    """One picture a minute, drawn as privacy allows."""

    def __init__(self, digest: Digest, privacy: str, images: Any) -> None:
        self._digest, self._privacy, self._images = digest, privacy, images
        self._private = PrivateImages(privacy, images)
        self._waiting: dict[tuple[int, int], BagMessage] = {}
        self._due_s = -math.inf

    def keep(self, message: BagMessage) -> None:
        """Keep an image until its faces come, where one is due."""
        if message.log_time_ns * 1e-9 < self._due_s - _WAITED_S:
            return
        stamp = self._deserialised(message.data).header.stamp
        self._waiting[stamp.sec, stamp.nanosec] = message
        old_ns = message.log_time_ns - round(_WAITED_S * 1e9)
        self._waiting = {k: m for k, m in self._waiting.items() if m.log_time_ns >= old_ns}

    def take(self, faces: Result) -> None:
        """Draw the image of these faces, if it is due."""
        from rclpy.serialization import deserialize_message

        from aitable_msgs.msg import FaceArray

        if not self._waiting:
            return
        stamp = deserialize_message(faces.data, FaceArray).header.stamp
        stamp_s = stamp.sec + stamp.nanosec * 1e-9
        message = self._waiting.get((stamp.sec, stamp.nanosec))
        if message is None or stamp_s < self._due_s:
            return
        data: bytes | None = message.data
        if self._privacy != NONE:
            data = self._private.replaced(self._images, message.data, [faces])
        if data is not None:
            from aitable_ros.perception.images.decoding import image_to_rgb

            add_picture(self._digest, stamp_s, image_to_rgb(self._deserialised(data)))
            self._due_s = stamp_s + PICTURE_EVERY_S
            self._waiting.clear()

    def _deserialised(self, data: bytes) -> Any:
        from rclpy.serialization import deserialize_message
        from sensor_msgs.msg import CompressedImage, Image

        raw = self._images.type_name.endswith('/Image')
        return deserialize_message(data, Image if raw else CompressedImage)
