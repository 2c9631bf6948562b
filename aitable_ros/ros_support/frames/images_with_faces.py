# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Images that wait for the faces found in them."""

from __future__ import annotations

import math
from typing import Any

from aitable_msgs.msg import FaceArray
from aitable_ros.ros_support.frames.frame_hub import Frame, stamp_to_ns

FACES_TIMEOUT_S = 0.5
"""While faces come, images wait for theirs; when none came for so long, they no longer do."""


class ImagesWithFaces:
    """
    Offers a node's worker each image's faces where they are published, or else the image itself.

    :param node: the working node; keeps the images in its ``frames``.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._subscription: Any = None
        self._faces_s = math.nan
        self._image_s = math.nan

    @property
    def heard(self) -> bool:
        """Whether faces come, or somebody publishes them."""
        return math.isfinite(self._faces_s)

    def follow(self, wanted: bool) -> None:
        """Subscribe to the faces or unsubscribe; in the executor's thread."""
        if wanted and self._subscription is None:
            self._subscription = self._node.create_subscription(
                FaceArray, 'faces', self._take_faces, 10
            )
        elif not wanted and self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            self._node.destroy_subscription(subscription)
            self._faces_s = self._image_s = math.nan

    def take(self, frame: Frame) -> None:
        """Let an image wait for its faces, if faces come at all."""
        self._node.frames.add(frame)
        stamp_s = frame.stamp_ns * 1e-9
        if math.isnan(self._faces_s) and self._subscription is not None:
            # the first image's faces are still being looked for, where somebody does
            awaited = self._node.count_publishers(self._subscription.topic_name) > 0
            self._faces_s = stamp_s if awaited else -math.inf
        # by the image before, since images may be few, and time may jump
        before_s = stamp_s if math.isnan(self._image_s) else self._image_s
        self._image_s = stamp_s
        if not 0.0 <= before_s - self._faces_s <= FACES_TIMEOUT_S:
            self._node.offer(frame)

    def _take_faces(self, message: FaceArray) -> None:
        self._faces_s = stamp_to_ns(message.header.stamp) * 1e-9
        self._node.offer(message)
