# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Results of the nodes as the rows of a CSV table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from aitable_ros.tools.process_bag.offline_pipeline import Result
from aitable_ros.tools.support.tables import ReadingTable, message_fields


class ResultRows:
    """
    Writes what was computed from each image.

    :param table: takes the rows.
    :param source: what the images are from, for the first column.
    """

    def __init__(self, table: ReadingTable, source: str) -> None:
        from aitable_msgs.msg import Attention, Emotion, FaceArray, Fatigue, Posture

        self._table, self._source = table, source
        self._classes: dict[str, Any] = {
            f'aitable_msgs/msg/{one.__name__}': one
            for one in (FaceArray, Emotion, Fatigue, Attention, Posture)
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
        arrays, emotions, fatigues, attentions, postures = found.values()
        stamped = next((one for many in found.values() for one in many), None)
        if stamped is None:
            return
        faces = {face.face_id: face for array in arrays for face in array.faces}
        for message in (*emotions, *fatigues, *attentions):  # where another run found the faces
            faces.setdefault(message.face_id, _unseen(message.face_id))
        stamp = stamped.header.stamp
        self._table.add_image(
            self._source,
            stamp.sec + stamp.nanosec * 1e-9,
            faces.values(),
            {message.face_id: message for message in emotions},
            {message.face_id: message_fields(message) for message in fatigues},
            message_fields(postures[0]) if postures else None,
            {message.face_id: message_fields(message) for message in attentions},
        )


def _unseen(face_id: str) -> Any:
    from aitable_msgs.msg import Face

    nan = math.nan
    return Face(face_id=face_id, x=nan, y=nan, width=nan, height=nan, confidence=nan, presence=nan)
