# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The posture of the person in a picture or video, for the tool ``analyze``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.head.head_pose import HeadPoseEstimator
from aitable_ros.perception.posture.angles import ANGLE_NAMES
from aitable_ros.perception.posture.body_keypoints import BodyKeypoints
from aitable_ros.perception.posture.body_source import BodyEstimator
from aitable_ros.perception.posture.calibration import Calibration
from aitable_ros.perception.posture.measure import PostureMeter
from aitable_ros.perception.posture.monitor import PostureMonitor, PostureState
from aitable_ros.perception.posture.person import match_face, seen_face
from aitable_ros.perception.posture.rule import Posture
from aitable_ros.visualization.overlay.posture_overlay import PostureOverlay

_DECIMALS = 5


class PostureReading:
    """
    What is known of the person after one frame.

    :param state: the posture.
    :param body: the keypoints; None: nobody is there.
    :param person_id: id of the face that goes with the body; empty: there is none.
    :param is_video: whether time counts; of a picture there are no states and durations.
    """

    def __init__(
        self, state: PostureState, body: BodyKeypoints | None, person_id: str, *, is_video: bool
    ) -> None:
        self.state, self.body, self.person_id = state, body, person_id
        self._is_video = is_video

    def describe(self) -> dict[str, Any]:
        """
        Return the values that are written, in their order; None: not measured.

        Angles in radians, distances in metres, times in seconds, keypoints in pixels; names and
        signs are those of aitable_msgs/Posture.
        """
        state, body = self.state, self.body
        angles = state.angles
        described: dict[str, Any] = {
            'person_id': self.person_id,
            'basis': angles.basis.name.lower(),
            'hips_seen': angles.hips_seen,
            'head_source': angles.head_source.name.lower(),
            **{name.removesuffix('_rad'): _number(getattr(angles, name)) for name in ANGLE_NAMES},
            'neck_ratio': _number(angles.neck_ratio),
            'camera_distance': _number(state.camera_distance_m),
            'keypoints': None if body is None else [_numbers(xy, 2) for xy in body.xy_px],
            'visibility': None if body is None else _numbers(body.visibility, 3),
        }
        if self._is_video:
            described.update(
                state=state.posture.name.lower(),
                state_reason=state.reason,
                state_s=_number(state.state_s),
                calibration=state.calibration.name.lower(),
                slouch=_number(state.slouch),
                good_s=_number(state.good_s),
                poor_s=_number(state.poor_s),
                too_close_s=_number(state.too_close_s),
                still_s=_number(state.still_s),
            )
        return described

    def overlay(self) -> PostureOverlay:
        """Return what is drawn."""
        body, state = self.body, self.state
        posture, note = '', ''
        if self._is_video:
            if state.posture is not Posture.UNKNOWN:
                posture = state.posture.name.lower().replace('_', ' ')
            if state.calibration is Calibration.RUNNING:
                note = f'calibrating {state.calibration_progress:.0%}'
        return PostureOverlay(
            xy_px=None if body is None else body.xy_px,
            visibility=None if body is None else body.visibility,
            posture=posture,
            camera_distance_m=state.camera_distance_m,
            eye_desk_m=state.eye_desk_m,
            note=note,
        )


class PersonPosture:
    """
    The posture of the person in one video, frame by frame, or in one picture.

    :param source: finds the body; stays the caller's.
    :param is_video: whether the frames belong together.
    """

    def __init__(self, source: BodyEstimator, *, is_video: bool) -> None:
        self._source = source
        self._is_video = is_video
        self._meter, self._monitor = PostureMeter(), PostureMonitor()
        self._heads = HeadPoseEstimator()
        self._seconds: dict[Posture, float] = {}
        self._last: tuple[float, Posture] | None = None
        if is_video:
            source.reset()

    def update(
        self, stamp_s: float, image: npt.NDArray[np.uint8], faces: Sequence[TrackedFace]
    ) -> PostureReading:
        """
        Take the next frame.

        :param stamp_s: time in the video, after that of the last frame [s].
        :param image: (H, W, 3) uint8 RGB.
        :param faces: those found in it; the one that goes with the body gives id and head.
        """
        body = (
            self._source.process(image, stamp_s)
            if self._is_video
            else self._source.process_still(image)
        )
        size_px = (int(image.shape[1]), int(image.shape[0]))
        face = None
        if body is not None:
            index = match_face(body, [one.xywh_px for one in faces])
            face = None if index is None else faces[index]
        seen = None if face is None else seen_face(face.landmarks_px, size_px, self._heads)
        state = self._monitor.update(stamp_s, self._meter.measure(body, size_px, face=seen))
        if self._last is not None:
            last_s, posture = self._last
            self._seconds[posture] = self._seconds.get(posture, 0.0) + stamp_s - last_s
        self._last = (stamp_s, state.posture)
        return PostureReading(
            state, body, '' if face is None else face.face_id, is_video=self._is_video
        )

    def summary(self) -> str:
        """Say in one line how much of the video each posture took."""
        parts = [
            f'{posture.name.lower().replace("_", " ")} {seconds:.1f} s'
            for posture, seconds in sorted(self._seconds.items(), key=lambda pair: -pair[1])
        ]
        return 'posture: ' + (', '.join(parts) or 'too short')


def _number(value: float, decimals: int = _DECIMALS) -> float | None:
    return round(float(value), decimals) if math.isfinite(value) else None


def _numbers(values: npt.NDArray, decimals: int) -> list[float | None]:
    return [_number(value, decimals) for value in values.tolist()]
