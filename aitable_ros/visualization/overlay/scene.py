# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
From readings to the annotated picture.

Readings come as the observers give them, or as messages: both have the fields of aitable_msgs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.emotion.expression import UNCERTAIN, UNKNOWN, shown_name
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.maths.rotation import Quaternion, Vector
from aitable_ros.perception.posture.body_keypoints import BodyKeypoints
from aitable_ros.perception.posture.states import Calibration, Posture
from aitable_ros.visualization.overlay.drawing import canvas_of, text_height
from aitable_ros.visualization.overlay.face_card import place_cards
from aitable_ros.visualization.overlay.face_marks import draw_face
from aitable_ros.visualization.overlay.face_overlay import FaceOverlay, eye_regions
from aitable_ros.visualization.overlay.head_axes import head_axes_px
from aitable_ros.visualization.overlay.posture_overlay import PostureOverlay, draw_posture

LEVEL_NAMES = {int(one): one.name.lower() for one in FatigueLevel if one.name != 'UNKNOWN'}
"""Name by level; UNKNOWN has none."""

STATE_NAMES = {
    int(one): one.name.lower().replace('_', ' ') for one in Posture if one.name != 'UNKNOWN'
}
"""Name by posture; UNKNOWN has none."""


ZONE_NAMES = {int(one): one.name.lower() for one in Zone if one.name != 'UNKNOWN'}
"""Name by zone; UNKNOWN has none."""

_GAZE_LENGTH = 1.5


def face_overlay(
    face: TrackedFace,
    emotion: Any | None = None,
    fatigue: Any | None = None,
    pose: tuple[Vector, Quaternion] | None = None,
    attention: Any | None = None,
    gaze: Vector | None = None,
) -> FaceOverlay:
    """
    Put together what is known of one face.

    :param face: where it is.
    :param emotion: its EmotionEstimate or Emotion; None: there is none.
    :param fatigue: what has the fields of its Fatigue; None: there is none.
    :param pose: position [m] and orientation (xyzw) of the head in this very image.
    :param attention: what has the fields of its Attention; None: there is none.
    :param gaze: unit vector in the camera's optical frame, of this very image.
    """
    values: dict[str, Any] = {}
    if emotion is not None and emotion.expression != UNKNOWN:
        values = {
            'expression': shown_name(emotion.expression),
            'confidence': math.nan if emotion.expression == UNCERTAIN else emotion.confidence,
            'valence': emotion.valence,
            'arousal': emotion.arousal,
        }
    if fatigue is not None:
        known = fatigue.eye_state != EyeState.UNKNOWN
        values |= {
            'left_ear': fatigue.left_ear,
            'right_ear': fatigue.right_ear,
            'eyes_closed': bool(fatigue.eyes_closed) if known else None,
            'perclos': fatigue.perclos,
            'level': LEVEL_NAMES.get(fatigue.level, ''),
        }
    if pose is not None and face.landmarks_px is not None:
        values['head_axes_px'] = head_axes_px(face.landmarks_px, *pose)
    if attention is not None:
        values['zone'] = ZONE_NAMES.get(attention.zone, '')
    if gaze is not None:
        values['gaze_px'] = _gaze_px(face, gaze)
    return FaceOverlay(face.face_id, face.xywh_px, face.landmarks_px, **values)


def _gaze_px(face: TrackedFace, gaze: Vector) -> npt.NDArray[np.float64]:
    """Give an arrow of 1.5 times the distance of the eyes, as long as it is seen."""
    eyes = face.keypoints_px[:2].astype(np.float64)
    begin = eyes.mean(axis=0)
    length = _GAZE_LENGTH * np.linalg.norm(eyes[1] - eyes[0])
    return np.array((begin, begin + length * np.array(gaze[:2])))


def posture_overlay(posture: Any, body: BodyKeypoints | None) -> PostureOverlay:
    """
    Put together what is known of how the person sits.

    :param posture: what has the fields of a Posture.
    :param body: the keypoints; None: nobody is there.
    """
    note = ''
    if posture.calibration == Calibration.RUNNING:
        note = f'calibrating {posture.calibration_progress:.0%}'
    elif posture.too_close_warning:
        note = f'too close for {posture.too_close_s:.0f} s'
    elif posture.still_warning:
        note = f'not moved for {posture.still_s / 60:.0f} min'
    return PostureOverlay(
        xy_px=None if body is None else body.xy_px,
        visibility=None if body is None else body.visibility,
        posture=STATE_NAMES.get(posture.state, ''),
        camera_distance_m=posture.camera_distance,
        eye_desk_m=posture.eye_desk_distance,
        note=note,
    )


def draw_scene(
    image: npt.NDArray[np.uint8],
    faces: Sequence[FaceOverlay],
    posture: PostureOverlay | None = None,
    *,
    mesh: bool = True,
    axes: bool = True,
) -> npt.NDArray[np.uint8]:
    """
    Draw people onto a copy of an image, the body below the faces.

    :param image: (H, W, 3) uint8 RGB; left as it is.
    :param faces: what to draw of each face.
    :param posture: and of the body; None: nothing.
    :param mesh: draw the landmarks as well.
    :param axes: draw the axes of the heads as well.
    :returns: a new (H, W, 3) uint8 RGB image.
    :raises ValueError: when the image has another shape or element type.
    """
    canvas = canvas_of(image)
    height, width = canvas.shape[:2]
    placed = [one for one in place_cards(height, width, faces) if one is not None]
    if posture is not None:
        eyes = (region for face in faces for region in eye_regions(face))
        avoid = (*eyes, *(rect for _, rect in placed))
        draw_posture(canvas, posture, avoid=avoid, head=not faces)
    for face in faces:
        draw_face(canvas, face, text_height(height, width), mesh=mesh, axes=axes)
    for card, rect in placed:
        card.draw(canvas, rect)
    return canvas
