# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the page share: the nodes that it listens to, played."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ros_fixtures import image_message, until

WIDTH, HEIGHT = 320, 240
BOX = (110.0, 70.0, 90.0, 110.0)
"""Of the face: left, top, width, height."""

STRIPES = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
STRIPES[:, ::8] = STRIPES[:, 1::8] = STRIPES[:, 2::8] = STRIPES[:, 3::8] = (230, 40, 40)
"""An image of stripes, four pixels wide: one sees where it is blurred."""

RELIABLE = {
    'qos_overrides__/image_raw__subscription__reliability': 'reliable',
    'qos_overrides__/image_raw__subscription__depth': 20,
}


def web_monitor(graph: Any, tmp_path: Any, **parameters: Any) -> Any:
    """Make an active web_monitor at a free port, whose token is the test's."""
    from aitable_ros.nodes.web_monitor_node import WebMonitorNode

    class PatientNode(WebMonitorNode):
        RESULTS_WAIT_S = 5.0  # on a busy machine messages of one image may take long

    given = {'port': 0, 'token_file': str(tmp_path / 'token'), **RELIABLE, **parameters}
    node = graph.make(PatientNode, **given)
    assert until(lambda: node.is_active), node.health()
    return node


def port_of(node: Any) -> int:
    return int(node.url.rpartition(':')[2].strip('/'))


class Peers:
    """Publishes what the other nodes would."""

    def __init__(self, graph: Any) -> None:
        from sensor_msgs.msg import Image

        from aitable_msgs.msg import Attention, Emotion, FaceArray, Fatigue, Posture

        make = graph.peer.create_publisher
        self.faces, self.emotions, self.fatigues, self.attentions, *others = graph.run(
            lambda: [
                make(kind, topic, 20)
                for kind, topic in (
                    (FaceArray, 'faces'),
                    (Emotion, 'emotion'),
                    (Fatigue, 'fatigue'),
                    (Attention, 'attention'),
                    (Posture, 'posture'),
                    (Image, 'image_raw'),
                )
            ]
        )
        self.postures, self.camera = others
        assert until(lambda: self.faces.get_subscription_count() > 0)
        assert until(lambda: self.fatigues.get_subscription_count() > 0)
        assert until(lambda: self.attentions.get_subscription_count() > 0)

    def image(self, node: Any, stamp_s: float, rgb: np.ndarray = STRIPES) -> None:
        """Publish an image, and wait until the node has it."""
        assert until(lambda: self.camera.get_subscription_count() > 0)
        self.camera.publish(image_message(rgb, stamp_s))
        assert until(lambda: node.frames.get(round(stamp_s * 1e9)) is not None)

    def show(self, stamp_s: float, *face_ids: str, **fields: Any) -> None:
        """Publish the readings of an image; fields are those of Fatigue or Attention."""
        from aitable_msgs.msg import Attention, Emotion, Face, FaceArray, Fatigue

        header = image_message(STRIPES[:1, :1], stamp_s).header
        array = FaceArray(header=header, image_width=WIDTH, image_height=HEIGHT)
        for face_id in face_ids:
            x, y, width, height = BOX
            array.faces.append(
                Face(header=header, face_id=face_id, x=x, y=y, width=width, height=height)
            )
            emotion = Emotion(header=header, face_id=face_id, expression=1, label='happy')
            emotion.confidence, emotion.valence, emotion.arousal = 0.6, 0.8, math.nan
            self.emotions.publish(emotion)
            fatigue = Fatigue(header=header, face_id=face_id, eye_state=1, level=1)
            fatigue.left_ear, fatigue.right_ear, fatigue.perclos = 0.31, 0.32, math.nan
            attention = Attention(header=header, face_id=face_id, zone=1)
            for name, value in fields.items():
                setattr(fatigue if hasattr(fatigue, name) else attention, name, value)
            self.fatigues.publish(fatigue)
            self.attentions.publish(attention)
        self.faces.publish(array)

    def sit(self, node: Any, stamp_s: float, **fields: Any) -> None:
        """Publish a posture, and wait until the node has it."""
        from aitable_msgs.msg import Posture

        header = image_message(STRIPES[:1, :1], stamp_s).header
        self.postures.publish(Posture(header=header, state=3, camera_distance=0.55, **fields))
        assert until(lambda: node.found._postures)
