# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What ``analyze`` tells of the fatigue of the people in a video."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.eye_baseline import (
    UNREFINED_CLOSED_RATIO,
    UNREFINED_MAX_CLOSED_RATIO,
    BaselineSettings,
)
from aitable_ros.perception.fatigue.eye_openness import EyeAspectRatios, mouth_aspect_ratio
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.fatigue.monitor import (
    FatigueMonitor,
    FatigueSample,
    FatigueSettings,
    FatigueState,
)
from aitable_ros.perception.fatigue.visibility import FaceView
from aitable_ros.perception.head.head_pose import HeadPose, HeadPoseTracker
from aitable_ros.visualization.plots import FatigueTrack, draw_fatigue


def fatigue_settings(*, refine_eyes: bool) -> FatigueSettings:
    """
    Return the default settings.

    :param refine_eyes: whether a network that sees the lids measures the eyes (iris_landmark);
        otherwise FaceMesh does, which hardly sees them close.
    """
    if refine_eyes:
        return FatigueSettings()
    baseline = BaselineSettings(
        closed_ratio=UNREFINED_CLOSED_RATIO, max_closed_ratio=UNREFINED_MAX_CLOSED_RATIO
    )
    return FatigueSettings(baseline=baseline)


@dataclass(frozen=True, eq=False)
class FatigueReading:
    """
    What is known about a person after one frame.

    :param state: the signs of fatigue.
    :param pose: of the head; None: not measured.
    """

    state: FatigueState
    pose: HeadPose | None

    @property
    def eyes_closed(self) -> bool | None:
        """Whether both eyes are closed; None: unknown."""
        if self.state.eye_state is EyeState.UNKNOWN:
            return None
        return self.state.eyes_closed

    @property
    def level(self) -> str:
        """Name of the level in lower case; empty: unknown."""
        level = self.state.level
        return '' if level is FatigueLevel.UNKNOWN else level.name.lower()

    def describe(self) -> dict[str, Any]:
        """
        Return the values that are written, in their order.

        Times are in seconds, angles in radians. NaN: not measured or not valid.
        """
        state, pose = self.state, self.pose
        return {
            'visibility': state.visibility.name.lower(),
            'eye_state': state.eye_state.name.lower(),
            'left_openness': state.left_openness,
            'right_openness': state.right_openness,
            'eyes_closed': state.eyes_closed,
            'closure_duration': state.closure_duration_s,
            'perclos': state.perclos.p80,
            'perclos_valid': state.perclos.valid,
            'blink_count': state.blink_count,
            'mar': state.mar,
            'yawning': state.yawning,
            'head_yaw': pose.yaw_rad if pose else math.nan,
            'head_pitch': pose.pitch_rad if pose else math.nan,
            'head_roll': pose.roll_rad if pose else math.nan,
            'level': state.level.name.lower(),
        }


class PersonFatigue:
    """
    The fatigue of one person of a video, frame by frame; make one per face id.

    :param settings: thresholds and windows.
    :param keep_timeline: keep every state, so that :meth:`write_plot` can draw them.
    """

    def __init__(self, settings: FatigueSettings, *, keep_timeline: bool) -> None:
        self._monitor = FatigueMonitor(settings)
        self._head = HeadPoseTracker()
        self._timeline = FatigueTrack(settings) if keep_timeline else None
        self._state: FatigueState | None = None
        self._blinks_valid = False
        self._highest_perclos = math.nan
        self._highest_level = FatigueLevel.UNKNOWN

    def update(
        self, stamp_s: float, face: TrackedFace, ears: EyeAspectRatios, size_px: tuple[int, int]
    ) -> FatigueReading:
        """
        Take the person's face in the next frame.

        :param stamp_s: time in the video, after that of the last frame [s].
        :param face: the face.
        :param ears: its eyes; ignored where the face is not seen well enough to believe them.
        :param size_px: width and height of the frame.
        :returns: what is known now.
        :raises ValueError: when the stamp is not finite, or not after the last one.
        """
        landmarks = face.landmarks_px
        if landmarks is not None and not np.isfinite(landmarks).all():
            landmarks = None
        pose = self._head.update(stamp_s, landmarks, size_px)
        right_eye, left_eye = face.keypoints_px[:2].tolist()
        view = FaceView(
            presence=face.presence if landmarks is not None else math.nan,
            eye_distance_px=math.dist(left_eye, right_eye),
            yaw_rad=pose.view_yaw_rad if pose else math.nan,
            pitch_rad=pose.view_pitch_rad if pose else math.nan,
        )
        state = self._monitor.update(
            stamp_s,
            FatigueSample(
                left_ear=ears.left,
                right_ear=ears.right,
                mar=math.nan if landmarks is None else mouth_aspect_ratio(landmarks),
                view=view,
                head_pitch_rad=pose.pitch_rad if pose else math.nan,
            ),
        )
        if self._timeline is not None:
            self._timeline.add(stamp_s, state)
        self._state = state
        self._blinks_valid |= state.blinks_valid
        self._highest_perclos = float(np.fmax(self._highest_perclos, state.perclos.p80))
        self._highest_level = max(self._highest_level, state.level)
        return FatigueReading(state, pose)

    def summary(self) -> str:
        """
        Return what is known after the last frame, for people.

        PERCLOS and level are the last ones, and the highest ones where these are others.

        :raises ValueError: when there was no frame.
        """
        state = self._state
        if state is None:
            raise ValueError('there is nothing to summarise')
        perclos, highest = state.perclos, self._highest_perclos
        share = f'PERCLOS {perclos.p80:.1%}' if perclos.valid else 'PERCLOS not valid'
        if not math.isnan(highest) and f'{highest:.1%}' != f'{perclos.p80:.1%}':
            share += f' (highest {highest:.1%})'
        level = f'level {state.level.name.lower()}'
        if self._highest_level > state.level:
            level += f' (highest {self._highest_level.name.lower()})'
        blinks = _counted(state.blink_count, 'blink')
        microsleeps = _counted(state.microsleep_count, 'microsleep')
        return ', '.join(
            (
                blinks if self._blinks_valid else f'{blinks} (not valid)',
                _counted(state.long_closure_count, 'long closure'),
                f'of them {microsleeps}',
                _counted(state.yawn_count, 'yawn'),
                _counted(state.nod_count, 'nod'),
                share,
                level,
            )
        )

    def write_plot(self, path: Path, title: str) -> None:
        """
        Draw openness, PERCLOS, level and events over time into a PNG file.

        :param path: file to write.
        :param title: written above.
        :raises ValueError: when no timeline was kept or there was no frame.
        :raises OSError: when the file cannot be written.
        """
        if self._timeline is None:
            raise ValueError('no timeline was kept')
        draw_fatigue(self._timeline, title).savefig(path)


def _counted(count: int, name: str) -> str:
    return f'{count} {name}' + ('' if count == 1 else 's')
