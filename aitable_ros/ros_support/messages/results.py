# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Readings <-> messages of aitable_msgs."""

from __future__ import annotations

import array
import math
import re
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import TransformStamped
from std_msgs.msg import Header

from aitable_msgs.msg import Emotion, Face, FaceArray, Fatigue
from aitable_ros.perception.faces.face_views import FaceViews, View
from aitable_ros.perception.faces.landmarks import LANDMARKS, REFINED_LANDMARKS
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.perception.maths.rotation import Quaternion, Vector, normalized
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns

if TYPE_CHECKING:
    from aitable_ros.perception.emotion.observer import EmotionReading
    from aitable_ros.perception.fatigue.observer import FatigueReading

_SEEING = {int(seeing): seeing for seeing in Seeing}
_VIEWS = {int(view): view for view in View}

MAX_FACES = 16
"""So many faces of an image are taken, as many as ``max_faces`` can be."""

FACES_TAKEN = f'{MAX_FACES} are taken, with ids of letters, digits and _, 64 at most'

_MADE: deque[tuple[FaceArray, SeenFaces]] = deque(maxlen=32)
"""What the latest messages were made from."""

_IDENTIFIER = re.compile(r'[A-Za-z][A-Za-z0-9_]{0,63}')


def is_identifier(face_id: str) -> bool:
    """Tell whether an id can be part of topic and frame names, as REP-155 asks for."""
    return _IDENTIFIER.fullmatch(face_id) is not None


def faces_taken(faces: Sequence[Face]) -> list[Face]:
    """Return the faces of a message that are taken, see :data:`FACES_TAKEN`."""
    return [face for face in faces if is_identifier(face.face_id)][:MAX_FACES]


def faces_to_message(seen: SeenFaces, header: Header) -> FaceArray:
    """Make the message for the faces of one image; ``header`` is the image's."""
    width, height = seen.size_px
    message = FaceArray(
        header=header,
        image_width=width,
        image_height=height,
        backend=seen.backend,
        seeing=seen.seeing,
    )
    message.faces = [_face_to_message(face, header, seen) for face in seen.faces]
    message.waiting = [_face_to_message(face, header, seen) for face in seen.waiting]
    return message


def keep_for_takers(message: FaceArray, seen: SeenFaces) -> FaceArray:
    """
    Spare the nodes of this process, to which a message is handed over, to read it.

    :param message: nobody may change it any more.
    :param seen: what it was made from.
    """
    _MADE.append((message, seen))
    return message


def faces_from_message(message: FaceArray) -> SeenFaces:
    """Give the faces that are taken; where landmarks are of another number, there are none."""
    for made, seen in reversed(tuple(_MADE)):
        if made is message:
            return seen
    return SeenFaces(
        stamp_to_ns(message.header.stamp) * 1e-9,
        (message.image_width, message.image_height),
        [_face_from_message(face) for face in faces_taken(message.faces)],
        message.backend,
        _SEEING.get(message.seeing, Seeing.CLEAR),
        [_face_from_message(face) for face in faces_taken(message.waiting)],
    )


def landmarks_of(face: Face) -> npt.NDArray[np.float32] | None:
    """
    Give the landmarks of a message.

    :returns: (468 or 478, 3) float32 [pixels], a view of the message's data; None when it has
        none or their number is wrong.
    """
    values = np.frombuffer(face.landmarks, np.float32)
    sizes = (3 * LANDMARKS, 3 * REFINED_LANDMARKS)
    return values.reshape(-1, 3) if values.size in sizes else None


def emotion_to_message(reading: EmotionReading, header: Header) -> Emotion:
    """Make the message for the expression of one face; ``header`` is the image's."""
    estimate = reading.estimate
    return Emotion(
        header=header,
        face_id=reading.face.face_id,
        backend=estimate.backend,
        model=estimate.model,
        reading=estimate.reading,
        expression=estimate.expression,
        label=estimate.label,
        confidence=float(estimate.confidence),
        probabilities=np.asarray(estimate.probabilities, np.float32),
        valence=float(estimate.valence),
        arousal=float(estimate.arousal),
    )


def fatigue_to_message(reading: FatigueReading, header: Header) -> Fatigue:
    """Make the message for the fatigue of one face; ``header`` is the image's."""
    message = Fatigue(
        header=header,
        face_id=reading.face.face_id,
        backend=reading.backend,
        **reading.fields(),
    )
    nan, pose = math.nan, reading.pose
    point, quaternion = message.head_position, message.head_orientation
    point.x, point.y, point.z = pose.position_m if pose else (nan, nan, nan)
    quaternion.x, quaternion.y, quaternion.z, quaternion.w = (
        pose.orientation_xyzw if pose else (nan, nan, nan, nan)
    )
    return message


def head_pose_of(
    fatigue: Fatigue | None, header: Header | None = None
) -> tuple[Vector, Quaternion] | None:
    """
    Give position [m] and orientation (unit quaternion xyzw) of the head.

    :param fatigue: of the face; None: there is none.
    :param header: only of the very image with this header.
    :returns: None where there is none, or it is no pose.
    """
    if fatigue is None or not fatigue.head_pose_valid:
        return None
    if header is not None and fatigue.header.stamp != header.stamp:
        return None
    point, turn = fatigue.head_position, fatigue.head_orientation
    position = (point.x, point.y, point.z)
    try:
        orientation = normalized((turn.x, turn.y, turn.z, turn.w))
    except ValueError:
        return None
    return (position, orientation) if all(map(math.isfinite, position)) else None


def transform(
    header: Header, child: str, position_m: Vector, orientation: Quaternion
) -> TransformStamped:
    """Give the transform from a frame to that of the header."""
    message = TransformStamped(header=header, child_frame_id=child)
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = position_m
    rotation.x, rotation.y, rotation.z, rotation.w = orientation
    return message


def floats(values: npt.NDArray[np.floating]) -> array.array[float]:
    """Give numbers as float32[] fields take them in one piece, not in milliseconds."""
    given = array.array('f')
    given.frombytes(np.ascontiguousarray(values, np.float32).tobytes())
    return given


def _face_to_message(face: TrackedFace, header: Header, seen: SeenFaces) -> Face:
    x, y, width, height = (float(v) for v in face.xywh_px)
    message = Face(
        header=header,
        face_id=face.face_id,
        backend=seen.backend,
        image_width=seen.size_px[0],
        image_height=seen.size_px[1],
        x=x,
        y=y,
        width=width,
        height=height,
        confidence=float(face.confidence),
        presence=float(face.presence),
        tracked_s=float(face.tracked_s),
        right_eye=face.views.right_eye,
        left_eye=face.views.left_eye,
        mouth=face.views.mouth,
        seeing=face.views.seeing,
        keypoints=np.ascontiguousarray(face.keypoints_px, np.float32).reshape(-1),
    )
    if face.landmarks_px is not None:
        message.landmarks = floats(face.landmarks_px)
    return message


def _face_from_message(face: Face) -> TrackedFace:
    return TrackedFace(
        face.face_id,
        np.array((face.x, face.y, face.width, face.height), np.float32),
        face.confidence,
        face.presence,
        np.asarray(face.keypoints, np.float32).reshape(-1, 2),
        landmarks_of(face),
        face.tracked_s,
        FaceViews(
            _VIEWS.get(face.right_eye, View.COVERED),
            _VIEWS.get(face.left_eye, View.COVERED),
            _VIEWS.get(face.mouth, View.COVERED),
            _SEEING.get(face.seeing, Seeing.CLEAR),
        ),
    )
