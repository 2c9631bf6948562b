# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Head poses as TF frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.ros_support.messages.results import transform


class FaceTransforms:
    """
    Broadcasts the frames ``face_<id>`` of REP-155, and others, in the frame of the camera.

    x points out of the face, y to the person's left, z up; the origin is the sellion. Where
    tf2_msgs is not installed nothing is sent, and :attr:`problem` says so.
    """

    def __init__(self, node: Node) -> None:
        self.problem = ''
        self._message_type: Any = None
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            self.problem = f'not broadcast: {error}'
            node.get_logger().info(f'TF frames are {self.problem}')
            return
        self._message_type = TFMessage
        # what tf2_ros.TransformBroadcaster does, without the listener's dependencies
        self._publisher = node.create_publisher(TFMessage, '/tf', 100)

    def results(
        self, header: Header, poses: Mapping[str, HeadPose]
    ) -> Iterator[tuple[Publisher, Any]]:
        """
        Give what broadcasts the poses found in one image.

        :param header: of the image; its frame_id is the parent.
        :param poses: by face id.
        :returns: the publisher of /tf and its message, or nothing.
        """
        if not header.frame_id:
            return
        yield from self.messages(
            transform(header, f'face_{face_id}', pose.position_m, pose.orientation_xyzw)
            for face_id, pose in poses.items()
        )

    def messages(self, transforms: Iterable[TransformStamped]) -> Iterator[tuple[Publisher, Any]]:
        """Give the publisher of /tf and the message with these transforms, or nothing."""
        if self._message_type is None:
            return
        found = list(transforms)
        if found:
            yield self._publisher, self._message_type(transforms=found)
