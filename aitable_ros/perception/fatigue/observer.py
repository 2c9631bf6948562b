# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fatigue: the faces of an image in, the signs of fatigue and the head pose of each out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aitable_ros.perception.events import PersonEvent
from aitable_ros.perception.faces.landmarks import are_refined
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.faces.people import People
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.eye_baseline import (
    UNREFINED_CLOSED_RATIO,
    UNREFINED_MAX_CLOSED_RATIO,
)
from aitable_ros.perception.fatigue.eye_openness import (
    EyeAspectRatios,
    eye_aspect_ratios,
    mouth_aspect_ratio,
)
from aitable_ros.perception.fatigue.monitor import (
    FatigueMonitor,
    FatigueSample,
    FatigueSettings,
    FatigueState,
)
from aitable_ros.perception.fatigue.visibility import FaceView
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.head_pose import HeadPose, HeadPoseSettings, HeadPoseTracker
from aitable_ros.perception.images.stream_order import StreamOrder

UNREFINED_MAR_SHARE = 0.85
"""FaceMesh's MAR of an open mouth over the attention mesh's (median of photographs)."""

_UNMEASURED = EyeAspectRatios(math.nan, math.nan)
_NO_FACE = FatigueSample(math.nan, math.nan, math.nan, FaceView(presence=math.nan))

_AS_THEY_ARE = (
    'left_ear',
    'right_ear',
    'left_openness',
    'right_openness',
    'left_ear_baseline',
    'right_ear_baseline',
    'eyes_closed',
    'closure_duration_s',
    'closure_truncated',
    'blinks_valid',
    'blink_count',
    'blink_rate',
    'last_blink_duration_s',
    'mean_blink_duration_s',
    'last_blink_amplitude',
    'long_closure_count',
    'microsleep_count',
    'mar',
    'yawning',
    'yawn_duration_s',
    'yawn_count',
    'yawn_rate',
    'nod_count',
    'level_reason',
)
"""Fields of a FatigueState that are written under their own names."""


@dataclass(frozen=True)
class FatigueObserverSettings:
    """
    How fatigue is measured.

    :param fatigue: of each person; ``baseline`` for lids that the attention mesh measured.
    :param head: field of view, limits and smoothing of head poses.
    :param unrefined_closed_ratio: replaces ``baseline.closed_ratio`` where the eyes are not
        refined, 0..1.
    :param forget_after_s: a face that was not seen for this long loses its state [s].
    """

    fatigue: FatigueSettings = field(default_factory=FatigueSettings)
    head: HeadPoseSettings = field(default_factory=HeadPoseSettings)
    unrefined_closed_ratio: float = UNREFINED_CLOSED_RATIO
    forget_after_s: float = 30.0

    def of_eyes(self, *, refined: bool) -> FatigueSettings:
        """
        Return the settings for lids that the attention mesh measured, or that FaceMesh did.

        :raises ValueError: when the values do not go together.
        """
        if refined:
            return self.fatigue
        baseline = replace(
            self.fatigue.baseline,
            closed_ratio=self.unrefined_closed_ratio,
            max_closed_ratio=UNREFINED_MAX_CLOSED_RATIO,
        )
        yawns = replace(
            self.fatigue.yawns,
            **{
                name: UNREFINED_MAR_SHARE * getattr(self.fatigue.yawns, name)
                for name in ('wide_mar', 'begin_mar', 'end_mar')
            },
        )
        return replace(self.fatigue, baseline=baseline, yawns=yawns)


@dataclass(frozen=True, eq=False)
class FatigueReading:
    """
    What is known of one face after one image.

    :param face: whose.
    :param state: the signs of fatigue.
    :param pose: of the head; None: not measured.
    :param backend: what ran, as ``face_detection: litert, face_attention: litert``.
    """

    face: TrackedFace
    state: FatigueState
    pose: HeadPose | None
    backend: str

    def fields(self) -> dict[str, Any]:
        """
        Return what is published, by the names and in the units of aitable_msgs/Fatigue.

        Position and orientation of the head are in ``pose``. NaN: not measured, or not valid.
        """
        state, pose, perclos = self.state, self.pose, self.state.perclos
        return {
            'visibility': state.visibility,
            'eye_state': state.eye_state,
            'calibration': int(state.calibrated),
            'level': state.level,
            **{name: getattr(state, name) for name in _AS_THEY_ARE},
            'mean_ear': (state.left_ear + state.right_ear) / 2,
            'perclos': perclos.p80,
            'perclos_p70': perclos.p70,
            'perclos_em': perclos.em,
            'perclos_long': perclos.long,
            'perclos_valid': perclos.valid,
            'perclos_window_s': perclos.window_s,
            'perclos_observed_s': perclos.observed_s,
            'perclos_coverage': perclos.coverage,
            'head_pose_valid': pose is not None,
            'head_pose_calibrated': pose is not None and pose.calibrated,
            'head_yaw': pose.yaw_rad if pose else math.nan,
            'head_pitch': pose.pitch_rad if pose else math.nan,
            'head_roll': pose.roll_rad if pose else math.nan,
        }


@dataclass(frozen=True, eq=False)
class _Person:
    """What is kept of one face id."""

    monitor: FatigueMonitor
    head: HeadPoseTracker


class FatigueObserver:
    """
    Measures the signs of fatigue and the head pose of every face, over time.

    :param settings: thresholds and windows.
    :raises ValueError: when the settings do not go together.
    """

    def __init__(self, settings: FatigueObserverSettings | None = None) -> None:
        self.settings = settings or FatigueObserverSettings()
        self.refined = True
        """Whether the lids of the last faces were refined; FaceMesh's alone hardly close."""
        self._of_eyes = self.settings.of_eyes(refined=True)
        self._people = People(self._new_person, self.settings.forget_after_s)
        self.events: list[PersonEvent] = []
        """What the last image made certain, also of people who are not in it."""

    @property
    def people(self) -> int:
        """How many people are kept."""
        return len(self._people)

    @property
    def stream(self) -> StreamOrder:
        """Where the stream stands."""
        return self._people.stream

    def adopt(self, settings: FatigueObserverSettings) -> None:
        """
        Take over other thresholds; whose windows do not fit them starts anew.

        :raises ValueError: when they do not go together; nothing has changed then.
        """
        of_eyes = settings.of_eyes(refined=self.refined)
        same_head = settings.head == self.settings.head
        self.settings, self._of_eyes = settings, of_eyes
        self._people.forget_after_s = settings.forget_after_s

        def adapt(person: _Person) -> _Person:
            kept = person.monitor.adopt(of_eyes)
            return _Person(
                person.monitor if kept else FatigueMonitor(of_eyes),
                person.head if same_head else HeadPoseTracker(settings.head),
            )

        self._people.change(adapt)

    def continue_from(self, previous: FatigueObserver) -> None:
        """Go on with the people of an observer that is not used any more."""
        settings = self.settings
        self._people = previous._people
        self._people.make = self._new_person
        self.refined = previous.refined
        self.settings = previous.settings  # what the people were made with
        self.adopt(settings)

    def reset(self) -> None:
        """Forget everybody."""
        self._people.clear()
        self.events = []

    def observe(
        self, seen: SeenFaces, intrinsics: CameraIntrinsics | None = None
    ) -> list[FatigueReading]:
        """
        Measure the faces of the stream's next image.

        :param seen: its faces.
        :param intrinsics: the camera's calibration, if there is one for this size.
        :returns: one reading per face.
        :raises ValueError: when the stamp is not finite.
        """
        stamp_s = self._people.advance(seen.stamp_s)
        measured = [face.landmarks_px for face in seen.faces if face.landmarks_px is not None]
        if measured and are_refined(measured[0]) != self.refined:
            self.refined = not self.refined
            self.adopt(self.settings)
        self.events = []
        here = {face.face_id for face in (*seen.faces, *seen.waiting)}
        for face_id, person in self._people.items():
            if face_id not in here:
                self._tell(face_id, person.monitor, stamp_s, _NO_FACE)
        return [self._read(face, stamp_s, seen, intrinsics) for face in seen.faces]

    def observe_still(self, seen: SeenFaces) -> list[FatigueReading]:
        """Measure the faces of a picture that belongs to no stream: nothing is known of before."""
        kept = self._people
        self._people = People(self._new_person, self.settings.forget_after_s)
        try:
            return self.observe(seen)
        finally:
            self._people = kept

    def _tell(
        self, face_id: str, monitor: FatigueMonitor, stamp_s: float, sample: FatigueSample
    ) -> FatigueState:
        """Update a person, and note what has ended with it."""
        again = stamp_s == monitor.last_stamp_s  # a late image gives the same state once more
        state = monitor.update(stamp_s, sample)
        if not again:
            self.events += [
                PersonEvent(kind, face_id, one.start_s, one.duration_s, one.size, one.truncated)
                for kind, one in state.ended
            ]
        return state

    def _new_person(self) -> _Person:
        return _Person(FatigueMonitor(self._of_eyes), HeadPoseTracker(self.settings.head))

    def _read(
        self,
        face: TrackedFace,
        stamp_s: float,
        seen: SeenFaces,
        intrinsics: CameraIntrinsics | None,
    ) -> FatigueReading:
        person = self._people.see(face.face_id, face.tracked_s)
        landmarks = face.landmarks_px
        # the sum of their squares is finite only if all are: half the time of asking each
        if landmarks is not None and not math.isfinite(np.vdot(landmarks, landmarks)):
            landmarks = None
        pose = None
        if min(seen.size_px) > 0:
            pose = person.head.update(stamp_s, landmarks, seen.size_px, intrinsics)
        right_eye, left_eye = face.keypoints_px[:2].tolist()
        view = FaceView(
            presence=face.presence if landmarks is not None else math.nan,
            eye_distance_px=math.dist(left_eye, right_eye),
            yaw_rad=pose.view_yaw_rad if pose else math.nan,
            pitch_rad=pose.view_pitch_rad if pose else math.nan,
            parts=face.views,
        )
        ears = _UNMEASURED if landmarks is None else eye_aspect_ratios(landmarks)
        sample = FatigueSample(
            left_ear=ears.left,
            right_ear=ears.right,
            mar=math.nan if landmarks is None else mouth_aspect_ratio(landmarks),
            view=view,
            head_pitch_rad=pose.pitch_rad if pose else math.nan,
        )
        state = self._tell(face.face_id, person.monitor, stamp_s, sample)
        return FatigueReading(face, state, pose, seen.backend)
