# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
From the messages of aitable to those of ROS4HRI (REP-155).

``hri_msgs`` need not be installed: what needs it gets its types handed in, as found by
:func:`hri_types`.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import TransformStamped

from aitable_msgs.msg import Attention, Emotion, Face, Fatigue
from aitable_ros.perception.maths.rotation import Quaternion, product
from aitable_ros.ros_support.messages.hri_landmarks import hri_landmarks
from aitable_ros.ros_support.messages.results import head_pose_of, landmarks_of, transform

EXPRESSIONS = {
    Emotion.NEUTRAL: 'neutral',
    Emotion.HAPPY: 'happy',
    Emotion.SAD: 'sad',
    Emotion.SURPRISE: 'surprised',
    Emotion.FEAR: 'scared',
    Emotion.DISGUST: 'disgusted',
    Emotion.ANGER: 'angry',
}
"""
Our expression -> hri_msgs/Expression's.

Contempt is missing: REP-155 has no word for it, and none of its own says the same. The text is
empty then, as for an unknown expression; valence and arousal, the message's other model, are set.
"""

_TIRED_LEVELS = (Fatigue.LEVEL_SEVERE, Fatigue.LEVEL_MICROSLEEP)

_GAZE_IN_FACE: Quaternion = (-0.5, 0.5, -0.5, 0.5)
"""Axes of an optical frame (z ahead, x right, y down) in a frame with x ahead and z up."""


def hri_types() -> Any:
    """Import module ``hri_msgs.msg``; RuntimeError: it is not installed."""
    try:
        from hri_msgs import msg
    except ImportError as error:
        raise RuntimeError(
            f'hri_msgs is not installed (package ros-<distro>-hri-msgs), and without it there is '
            f'no ROS4HRI: {error}'
        ) from error
    return msg


def roi_message(types: Any, face: Face) -> Any:
    """Give hri_msgs/NormalizedRegionOfInterest2D: the box of a face, cut at the image's edges."""
    width, height = face.image_width, face.image_height
    return types.NormalizedRegionOfInterest2D(
        header=face.header,
        xmin=_share(face.x, width),
        ymin=_share(face.y, height),
        xmax=_share(face.x + face.width, width),
        ymax=_share(face.y + face.height, height),
        c=_unit(face.confidence),
    )


def landmarks_message(types: Any, face: Face) -> Any | None:
    """Give hri_msgs/FacialLandmarks, or None where the face has no landmarks."""
    landmarks_px = landmarks_of(face)
    if landmarks_px is None:
        return None
    size_px = (face.image_width, face.image_height)
    points = hri_landmarks(landmarks_px, size_px, _unit(face.presence))
    message = types.FacialLandmarks(header=face.header, width=size_px[0], height=size_px[1])
    for point, (x, y, c) in zip(message.landmarks, points.tolist()):
        point.x, point.y, point.c = x, y, c
    return message


def expression_message(
    types: Any, emotion: Emotion, sleepy: str = '', certainty: float = 0
) -> Any:
    """
    Give hri_msgs/Expression.

    :param sleepy: ``'tired'`` or ``'asleep'``, which take the expression's place; empty: neither.
    :param certainty: confidence of ``sleepy``, 0..1.
    """
    expression = EXPRESSIONS.get(emotion.expression, '')
    confidence = _unit(emotion.confidence) if expression else 0.0
    return types.Expression(
        header=emotion.header,
        expression=sleepy or expression,
        valence=_signed_unit(emotion.valence),
        arousal=_signed_unit(emotion.arousal),
        confidence=_unit(certainty) if sleepy else confidence,
    )


def sleepiness(fatigue: Fatigue | None, *, tired: bool) -> str:
    """
    Give what a fatigue level is called among the expressions of REP-155; empty: nothing.

    :param tired: call levels SEVERE and MICROSLEEP ``'tired'``; ASLEEP is ``'asleep'`` anyway.
    """
    if fatigue is None:
        return ''
    if fatigue.level == Fatigue.LEVEL_ASLEEP:
        return 'asleep'
    return 'tired' if tired and fatigue.level in _TIRED_LEVELS else ''


def gaze_transform(fatigue: Fatigue) -> TransformStamped | None:
    """
    Give frame ``gaze_<id>`` of REP-155: at the sellion, z where the head points, x right, y down.

    Only where nobody measures the gaze itself: then REP-155 has z along the face's x axis.

    :returns: in the frame of the camera; None where there is no head pose.
    """
    pose = head_pose_of(fatigue)
    if pose is None or not fatigue.header.frame_id:
        return None
    position, turn = pose
    name = f'gaze_{fatigue.face_id}'
    return transform(fatigue.header, name, position, product(turn, _GAZE_IN_FACE))


def gaze_message(types: Any, attention: Attention) -> Any | None:
    """
    Give hri_msgs/Gaze of who looks to the front, at the table itself: its receiver is empty.

    :returns: None where they look elsewhere, or hri_msgs has no such message (before 2.3).
    """
    if attention.zone != Attention.FRONT or not hasattr(types, 'Gaze'):
        return None
    return types.Gaze(header=attention.header, sender=attention.face_id, receiver='')


def cropped_face(
    image: npt.NDArray[np.uint8], face: Face, size_px: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """
    Cut out a face: scaled to fit, centred, the rest black.

    :param image: (H, W, 3) uint8 RGB.
    :param face: its box is cut out; what of it lies outside of the image is black.
    :param size_px: width and height of the result.
    :returns: (height, width, 3) uint8 RGB; all black when the box is empty or not finite.
    """
    width, height = size_px
    canvas = np.zeros((height, width, 3), np.uint8)
    box = np.array((face.x, face.y, face.width, face.height), np.float64)
    if not np.isfinite(box).all() or box[2] <= 0.0 or box[3] <= 0.0:
        return canvas
    scale = min(width / box[2], height / box[3])
    # the box's part that is in the image, in whole pixels of both
    left, top = np.maximum(np.round(box[:2]), 0).astype(int)
    right = int(min(round(box[0] + box[2]), image.shape[1]))
    bottom = int(min(round(box[1] + box[3]), image.shape[0]))
    if left >= right or top >= bottom:
        return canvas
    corner = (np.array((width, height)) - scale * box[2:]) / 2.0 + scale * (
        np.array((left, top)) - box[:2]
    )
    x, y = np.clip(np.round(corner).astype(int), 0, (width - 1, height - 1))
    w = int(np.clip(round(scale * (right - left)), 1, width - x))
    h = int(np.clip(round(scale * (bottom - top)), 1, height - y))
    how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    canvas[y : y + h, x : x + w] = cv2.resize(
        image[top:bottom, left:right], (w, h), interpolation=how
    )
    return canvas


def _share(value: float, whole: int) -> float:
    # the centre of the first pixel is at 0, and half a pixel in
    return _unit((value + 0.5) / whole)


def _unit(value: float) -> float:
    """Give a value in 0..1, 0 for NaN: REP-155's messages have no 'not measured'."""
    return min(max(value, 0.0), 1.0) if not math.isnan(value) else 0.0


def _signed_unit(value: float) -> float:
    """Give a value in -1..1; NaN stays: 0 would be a neutral mood."""
    return min(max(value, -1.0), 1.0) if not math.isnan(value) else value
