# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Messages go out with the QoS that was recorded, and with the stamps that are wanted."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from string_bags import string_cdr

from aitable_msgs.msg import Face, FaceArray
from aitable_ros.bags import BagTopic
from aitable_ros.bags.writing import offered_qos
from aitable_ros.tools.replay.messages import make_restamper, publisher_qos

pytestmark = pytest.mark.ros


class TestQos:
    @staticmethod
    def chosen(*profiles: Any, count: int = 3) -> tuple[str, str, int]:
        qos = publisher_qos(BagTopic('/a', 'std_msgs/msg/String', count, profiles))
        return qos.reliability.name, qos.durability.name, qos.depth

    def test_as_offered(self) -> None:
        best_effort = offered_qos(reliable=False, depth=5)
        assert self.chosen(*best_effort) == ('BEST_EFFORT', 'VOLATILE', 5)
        latched = offered_qos(transient_local=True, depth=1)
        assert self.chosen(*latched, count=40) == ('RELIABLE', 'TRANSIENT_LOCAL', 40)

    def test_nothing_recorded(self) -> None:
        assert self.chosen() == ('RELIABLE', 'VOLATILE', 10)

    def test_depth_that_dds_did_not_tell(self) -> None:
        (qos,) = offered_qos(reliable=False)
        assert self.chosen(qos._replace(depth=0)) == ('BEST_EFFORT', 'VOLATILE', 10)

    def test_several_publishers_get_the_most_generous_offer(self) -> None:
        offers = (
            *offered_qos(reliable=False, depth=5),
            *offered_qos(depth=20),
            *offered_qos(reliable=False, transient_local=True, depth=1),
        )
        assert self.chosen(*offers) == ('RELIABLE', 'TRANSIENT_LOCAL', 20)


class TestRestamping:
    @staticmethod
    def later(stamp_ns: int) -> int:
        return stamp_ns + 5_300_000_000

    def test_first_header_of_an_image(self) -> None:
        image = CompressedImage(format='jpeg')
        image.header.stamp.sec, image.header.stamp.nanosec = 7, 900_000_000
        image.data.frombytes(bytes(range(256)))
        restamp = make_restamper(CompressedImage)
        moved = deserialize_message(restamp(serialize_message(image), self.later), CompressedImage)
        assert (moved.header.stamp.sec, moved.header.stamp.nanosec) == (13, 200_000_000)
        assert (moved.format, bytes(moved.data)) == ('jpeg', bytes(range(256)))

    def test_nested_headers(self) -> None:
        faces = FaceArray(faces=[Face(face_id='f1'), Face(face_id='f2')])
        faces.header.stamp.sec = faces.faces[0].header.stamp.sec = 7
        restamp = make_restamper(FaceArray)
        moved = deserialize_message(restamp(serialize_message(faces), self.later), FaceArray)
        assert moved.header.stamp.sec == moved.faces[0].header.stamp.sec == 12
        # not stamped, so not moved
        assert moved.faces[1].header.stamp.sec == 0
        assert [face.face_id for face in moved.faces] == ['f1', 'f2']

    def test_unset_stamps_and_messages_without_any(self) -> None:
        image = serialize_message(CompressedImage())
        assert make_restamper(CompressedImage)(image, self.later) == image
        assert make_restamper(String)(string_cdr('x'), self.later) == string_cdr('x')
