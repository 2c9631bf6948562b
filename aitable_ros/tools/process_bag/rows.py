# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Results of the nodes as the rows of a CSV table, and in short."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from aitable_ros.tools.process_bag.offline_pipeline import Result
from aitable_ros.tools.report.digest import Digest
from aitable_ros.tools.support.tables import ReadingTable, message_fields

FACES = 'aitable_msgs/msg/FaceArray'


class ResultRows:
    """
    Writes what was computed from each image.

    :param takers: of the rows.
    :param source: what the images are from, for the first column.
    """

    def __init__(self, takers: Sequence[ReadingTable | Digest], source: str) -> None:
        from aitable_msgs.msg import Attention, Emotion, Event, FaceArray, Fatigue, Posture

        self._takers, self._source = takers, source
        self._digests = [one for one in takers if isinstance(one, Digest)]
        self._classes: dict[str, Any] = {
            f'aitable_msgs/msg/{one.__name__}': one
            for one in (FaceArray, Emotion, Fatigue, Attention, Posture, Event)
        }

    def add(self, results: Sequence[Result]) -> None:
        """
        Write the rows of an image.

        :param results: all that was computed from it.
        """
        from rclpy.serialization import deserialize_message

        found: dict[str, list[Any]] = {kind: [] for kind in self._classes}
        for result in results:
            if result.type_name in found:
                message = deserialize_message(result.data, self._classes[result.type_name])
                found[result.type_name].append(message)
        arrays, emotions, fatigues, attentions, postures, events = found.values()
        for digest in self._digests:
            for array in arrays:
                people = [face.face_id for face in array.faces]
                stamp_s = _seconds(array.header.stamp)
                digest.add_seen(stamp_s, array.seeing, array.backend, people)
            for event in events:
                start_s = _seconds(event.start)
                about = (event.kind, event.person_id, start_s, event.duration, event.value)
                digest.add_event(*about)
        readings = (arrays, emotions, fatigues, attentions, postures)
        stamped = next((one for many in readings for one in many), None)
        if stamped is None:
            return
        faces = {face.face_id: face for array in arrays for face in array.faces}
        for message in (*emotions, *fatigues, *attentions):  # where another run found the faces
            faces.setdefault(message.face_id, _unseen(message.face_id))
        for taker in self._takers:
            taker.add_image(
                self._source,
                _seconds(stamped.header.stamp),
                faces.values(),
                {message.face_id: message for message in emotions},
                {message.face_id: message_fields(message) for message in fatigues},
                message_fields(postures[0]) if postures else None,
                {message.face_id: message_fields(message) for message in attentions},
            )


def _seconds(stamp: Any) -> float:
    return float(stamp.sec + stamp.nanosec * 1e-9)


def _unseen(face_id: str) -> Any:
    from aitable_msgs.msg import Face

    nan = math.nan
    return Face(face_id=face_id, x=nan, y=nan, width=nan, height=nan, confidence=nan, presence=nan)
