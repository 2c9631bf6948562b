# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Posture and what belongs to it <-> messages of aitable_msgs."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from std_msgs.msg import Header

from aitable_msgs.msg import Posture
from aitable_ros.perception.posture.angles import ANGLE_NAMES
from aitable_ros.perception.posture.body_keypoints import KEYPOINT_COUNT, BodyKeypoints
from aitable_ros.perception.posture.monitor import PostureState
from aitable_ros.visualization.overlay.posture_overlay import PostureOverlay

STATE_NAMES = {
    Posture.UPRIGHT: 'upright',
    Posture.LEANING_FORWARD: 'leaning forward',
    Posture.SLOUCHING: 'slouching',
    Posture.TILTED: 'tilted',
    Posture.TOO_CLOSE: 'too close',
    Posture.AWAY: 'away',
}
"""Name by state; UNKNOWN has none."""

SAME_IN_MESSAGE = (
    'state_s',
    'slouch',
    'calibration_progress',
    'window_s',
    'observed_s',
    'good_s',
    'poor_s',
    'good_share',
    'too_close_s',
    'too_close_warning',
    'still_s',
    'still_warning',
)
"""Fields that PostureState and Posture have under the same name."""


def posture_to_message(
    state: PostureState,
    body: BodyKeypoints | None,
    header: Header,
    size_px: tuple[int, int],
    backend: str,
    person_id: str = '',
) -> Posture:
    """
    Make the message for the posture of one person.

    :param state: what is known.
    :param body: the image's keypoints; None: nobody was found.
    :param header: the image's.
    :param size_px: width and height of the image.
    :param backend: what ran.
    :param person_id: id of the face that goes with the body, if one is known.
    """
    message = Posture(
        header=header,
        person_id=person_id,
        backend=backend,
        image_width=size_px[0],
        image_height=size_px[1],
        state=int(state.posture),
        state_reason=state.reason,
        calibration=int(state.calibration),
    )
    for name in SAME_IN_MESSAGE:
        setattr(message, name, getattr(state, name))
    angles, sample = state.angles, state.sample
    message.basis = int(angles.basis)
    message.hips_seen = angles.hips_seen
    message.head_source = int(angles.head_source)
    message.camera_calibrated = sample.camera_calibrated
    message.camera_placement = int(sample.placement.source)
    for name in ANGLE_NAMES:
        setattr(message, name.removesuffix('_rad'), getattr(angles, name))
    message.neck_ratio = angles.neck_ratio
    message.distance_source = int(sample.distance_source)
    message.camera_distance = state.camera_distance_m
    message.eye_desk_distance = state.eye_desk_m
    message.moved_forward, message.moved_left, message.moved_up = state.moved_m
    if body is not None:
        message.keypoints = _floats(body.xy_px)
        message.visibility = _floats(body.visibility)
        if body.world_m is not None:
            message.world = _floats(body.world_m)
    return message


def keypoints_of(message: Posture) -> BodyKeypoints | None:
    """
    Give the keypoints of a message.

    :returns: None when it has none, or not 33.
    """
    xy = np.frombuffer(message.keypoints, np.float32)
    visibility = np.frombuffer(message.visibility, np.float32)
    world = np.frombuffer(message.world, np.float32)
    if xy.size != 2 * KEYPOINT_COUNT or visibility.size != KEYPOINT_COUNT:
        return None
    return BodyKeypoints(
        xy.reshape(-1, 2),
        visibility,
        math.nan,
        world.reshape(-1, 3) if world.size == 3 * KEYPOINT_COUNT else None,
    )


def posture_overlay(message: Posture) -> PostureOverlay:
    """Give what the overlay draws of a message."""
    body = keypoints_of(message)
    note = ''
    if message.calibration == Posture.CALIBRATION_RUNNING:
        note = f'calibrating {message.calibration_progress:.0%}'
    elif message.too_close_warning:
        note = f'too close for {message.too_close_s:.0f} s'
    elif message.still_warning:
        note = f'not moved for {message.still_s / 60:.0f} min'
    return PostureOverlay(
        xy_px=None if body is None else body.xy_px,
        visibility=None if body is None else body.visibility,
        posture=STATE_NAMES.get(message.state, ''),
        camera_distance_m=message.camera_distance,
        eye_desk_m=message.eye_desk_distance,
        note=note,
    )


def _floats(values: npt.NDArray[np.float32]) -> Any:
    # assigning bytes goes in one piece
    floats: Any = array.array('f')
    floats.frombytes(np.ascontiguousarray(values, np.float32).tobytes())
    return floats
