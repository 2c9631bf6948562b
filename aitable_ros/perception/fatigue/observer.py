# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fatigue: the faces of an image in, the signs of fatigue and the head pose of each out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import AUTO, Load, Selection, close_all, describe, opened
from aitable_ros.perception.faces.observer import Look, SeenFaces
from aitable_ros.perception.faces.people import People
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.eye_baseline import (
    UNREFINED_CLOSED_RATIO,
    UNREFINED_MAX_CLOSED_RATIO,
)
from aitable_ros.perception.fatigue.eye_contours import EyeContours
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
from aitable_ros.perception.fatigue.visibility import FaceView, Visibility
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.head_pose import HeadPose, HeadPoseSettings, HeadPoseTracker

NETWORK = 'iris_landmark'

_UNMEASURED = EyeAspectRatios(math.nan, math.nan)

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

    :param fatigue: of each person; ``baseline`` for refined eyes.
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
        Return the settings for eyes that a network measures, or that FaceMesh does.

        :raises ValueError: when the values do not go together.
        """
        if refined:
            return self.fatigue
        baseline = replace(
            self.fatigue.baseline,
            closed_ratio=self.unrefined_closed_ratio,
            max_closed_ratio=UNREFINED_MAX_CLOSED_RATIO,
        )
        return replace(self.fatigue, baseline=baseline)


@dataclass(frozen=True, eq=False)
class FatigueReading:
    """
    What is known of one face after one image.

    :param face: whose.
    :param state: the signs of fatigue.
    :param pose: of the head; None: not measured.
    :param backend: what ran, as ``face_mesh: litert, iris_landmark: litert``.
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


@dataclass(frozen=True, eq=False)
class _View:
    """What one image shows of one face, before its eyes are measured."""

    face: TrackedFace
    person: _Person
    landmarks_px: npt.NDArray[np.float32] | None
    pose: HeadPose | None
    view: FaceView

    @property
    def is_measurable(self) -> bool:
        """Whether the eyes are worth measuring."""
        return self.person.monitor.judge(self.view) is Visibility.MEASURED


class FatigueObserver:
    """
    Measures the signs of fatigue and the head pose of every face, over time.

    Use and close it in the thread that loaded it.

    :param selections: the engine of iris_landmark, the observer's own from now on; empty: the
        eyes are measured on FaceMesh's points, which hardly see lids close.
    :param settings: thresholds and windows.
    :param why_unrefined: why there is no network.
    :raises ValueError: when the settings do not go together.
    """

    def __init__(
        self,
        selections: Sequence[Selection] = (),
        settings: FatigueObserverSettings | None = None,
        *,
        why_unrefined: str = '',
    ) -> None:
        self.selections = tuple(selections)
        self.why_unrefined = why_unrefined
        self.without_image = 0
        """How many images with measurable eyes were not at hand."""
        self.settings = settings or FatigueObserverSettings()
        self._backend = describe(selections)
        self._eyes = EyeContours(selections[0].engine) if selections else None
        self._of_eyes = self.settings.of_eyes(refined=self.refined)
        self._people = People(self._new_person, self.settings.forget_after_s)

    @classmethod
    def load(
        cls,
        load: Load,
        *,
        refine_eyes: bool = True,
        backend: str = AUTO,
        settings: FatigueObserverSettings | None = None,
    ) -> FatigueObserver:
        """
        Load the network that sees eyelids, or say why FaceMesh has to do.

        :param load: loads networks of the catalog.
        :param refine_eyes: False: do without it.
        :param backend: ``auto``: do without it where it does not load.
        :raises InferenceError: when a backend that was named does not load.
        :raises ValueError: when the settings do not go together.
        """
        if not refine_eyes:
            return cls((), settings, why_unrefined='refine_eyes is false')
        try:
            with opened(load, (NETWORK,)) as selections:
                return cls(selections, settings)
        except InferenceError as error:
            if backend != AUTO:
                raise
            return cls((), settings, why_unrefined=str(error))

    @property
    def refined(self) -> bool:
        """Whether a network measures the eyes."""
        return self._eyes is not None

    @property
    def people(self) -> int:
        """How many people are kept."""
        return len(self._people)

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
        self.settings = previous.settings  # what the people were made with
        self.adopt(settings)

    def close(self) -> None:
        """Free the networks."""
        close_all(self.selections)

    def reset(self) -> None:
        """Forget everybody."""
        self._people.clear()

    def observe(
        self, seen: SeenFaces, look: Look, intrinsics: CameraIntrinsics | None = None
    ) -> list[FatigueReading]:
        """
        Measure the faces of the stream's next image.

        :param seen: its faces.
        :param look: called where a network looks at eyes that can be seen.
        :param intrinsics: the camera's calibration, if there is one for this size.
        :returns: one reading per face.
        :raises ValueError: when the stamp is not finite.
        :raises InferenceError: when the engine fails.
        """
        self._people.advance(seen.stamp_s)
        views = [self._view(face, seen, intrinsics) for face in seen.faces]
        backend = ', '.join(filter(None, (seen.backend, self._backend)))
        return [
            FatigueReading(
                view.face,
                view.person.monitor.update(seen.stamp_s, _sample(view, ears)),
                view.pose,
                backend,
            )
            for view, ears in zip(views, self._measure_eyes(views, look))
        ]

    def observe_still(self, seen: SeenFaces, image: npt.NDArray[np.uint8]) -> list[FatigueReading]:
        """
        Measure the faces of a picture that belongs to no stream: nothing is known of before.

        :param image: (H, W, 3) uint8 RGB.
        :raises InferenceError: when the engine fails.
        """
        kept = self._people
        self._people = People(self._new_person, self.settings.forget_after_s)
        try:
            return self.observe(seen, lambda: image)
        finally:
            self._people = kept

    def _new_person(self) -> _Person:
        return _Person(FatigueMonitor(self._of_eyes), HeadPoseTracker(self.settings.head))

    def _view(
        self, face: TrackedFace, seen: SeenFaces, intrinsics: CameraIntrinsics | None
    ) -> _View:
        person = self._people.see(face.face_id)
        landmarks = face.landmarks_px
        if landmarks is not None and not np.isfinite(landmarks).all():
            landmarks = None
        pose = None
        if min(seen.size_px) > 0:
            pose = person.head.update(seen.stamp_s, landmarks, seen.size_px, intrinsics)
        right_eye, left_eye = face.keypoints_px[:2].tolist()
        view = FaceView(
            presence=face.presence if landmarks is not None else math.nan,
            eye_distance_px=math.dist(left_eye, right_eye),
            yaw_rad=pose.view_yaw_rad if pose else math.nan,
            pitch_rad=pose.view_pitch_rad if pose else math.nan,
        )
        return _View(face, person, landmarks, pose, view)

    def _measure_eyes(
        self, views: Sequence[_View], look: Look
    ) -> Sequence[EyeAspectRatios | None]:
        """Measure all eyes of an image in one batch; None where the image was not at hand."""
        measurable = [view.landmarks_px if view.is_measurable else None for view in views]
        landmarks = [points for points in measurable if points is not None]
        if not landmarks:
            return [_UNMEASURED] * len(views)
        if self._eyes is None:
            ears: Sequence[EyeAspectRatios | None] = [
                eye_aspect_ratios(points) for points in landmarks
            ]
        else:
            image = look()
            if image is None:
                self.without_image += 1
                ears = [None] * len(landmarks)
            else:
                ears = self._eyes.run(image, landmarks)
        measured = iter(ears)
        return [_UNMEASURED if points is None else next(measured) for points in measurable]


def _sample(view: _View, ears: EyeAspectRatios | None) -> FatigueSample:
    landmarks = view.landmarks_px
    return FatigueSample(
        left_ear=ears.left if ears else math.nan,
        right_ear=ears.right if ears else math.nan,
        mar=math.nan if landmarks is None else mouth_aspect_ratio(landmarks),
        view=view.view,
        has_image=ears is not None,
        head_pitch_rad=view.pose.pitch_rad if view.pose else math.nan,
    )
