# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Posture: an image and the faces in it in, how the person at the table sits out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.selection import close_all
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.head_pose import HeadPoseEstimator, HeadPoseSettings
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.stream_order import Source, StreamOrder
from aitable_ros.perception.maths.rate_limit import RateLimit
from aitable_ros.perception.posture.angles import ANGLE_NAMES
from aitable_ros.perception.posture.body_keypoints import BodyKeypoints
from aitable_ros.perception.posture.body_source import BodySource
from aitable_ros.perception.posture.distance import DepthImage, DistanceSettings
from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.perception.posture.measure import MeasureSettings, PostureMeter
from aitable_ros.perception.posture.monitor import PostureMonitor, PostureSettings, PostureState
from aitable_ros.perception.posture.person import match_face, seen_face
from aitable_ros.perception.posture.states import Posture

_AS_THEY_ARE = (
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
"""Fields of a PostureState that are written under their own names."""


@dataclass(frozen=True)
class PostureObserverSettings:
    """
    How posture is measured and judged.

    :param measure: what is taken for seen.
    :param distance: how distances are measured.
    :param posture: what is made of it over time.
    :param max_rate_hz: images per second that the network is run on; 0: all [Hz].
    """

    measure: MeasureSettings = field(default_factory=MeasureSettings)
    distance: DistanceSettings = field(default_factory=DistanceSettings)
    posture: PostureSettings = field(default_factory=PostureSettings)
    max_rate_hz: float = 10.0


@dataclass(frozen=True, eq=False)
class PostureReading:
    """
    What is known of the person after one image.

    :param state: the posture.
    :param body: the image's keypoints; None: nobody was found.
    :param person_id: id of the face that goes with the body, if one is known.
    :param size_px: width and height of the image.
    :param backend: what ran.
    """

    state: PostureState
    body: BodyKeypoints | None
    person_id: str
    size_px: tuple[int, int]
    backend: str

    def fields(self) -> dict[str, Any]:
        """
        Return what is published, by the names and in the units of aitable_msgs/Posture.

        Keypoints are in ``body``. NaN: not measured.
        """
        state, angles, sample = self.state, self.state.angles, self.state.sample
        forward, left, up = state.moved_m
        return {
            'person_id': self.person_id,
            'state': state.posture,
            'state_reason': state.reason,
            'calibration': state.calibration,
            **{name: getattr(state, name) for name in _AS_THEY_ARE},
            'basis': angles.basis,
            'hips_seen': angles.hips_seen,
            'head_source': angles.head_source,
            'camera_calibrated': sample.camera_calibrated,
            'camera_placement': sample.placement.source,
            **{name.removesuffix('_rad'): getattr(angles, name) for name in ANGLE_NAMES},
            'neck_ratio': angles.neck_ratio,
            'distance_source': sample.distance_source,
            'camera_distance': state.camera_distance_m,
            'eye_desk_distance': state.eye_desk_m,
            'moved_forward': forward,
            'moved_left': left,
            'moved_up': up,
        }


class PostureObserver:
    """
    Measures and judges the posture of the person at the table, over time.

    Use and close it in the thread that loaded it.

    :param source: finds the body; the observer's own from now on.
    :param settings: thresholds and windows.
    """

    def __init__(
        self, source: BodySource, settings: PostureObserverSettings | None = None
    ) -> None:
        self.settings = settings or PostureObserverSettings()
        self.selections = source.selections
        self._source = source
        self.stream = StreamOrder()
        """Where the stream stands; it has the images that were due."""
        self._limit = RateLimit()
        self._begin_person()

    def _begin_person(self) -> None:
        settings = self.settings
        self._meter = PostureMeter(settings.measure, settings.distance)
        self._monitor = PostureMonitor(settings.posture)
        self._heads = HeadPoseEstimator(
            HeadPoseSettings(default_fov_rad=settings.measure.default_fov_rad)
        )
        self._person_id = ''

    def adopt(self, settings: PostureObserverSettings) -> None:
        """Take over other thresholds; another smoothing or window keeps the calibration alone."""
        self.settings = settings
        self._meter.settings, self._meter.distance = settings.measure, settings.distance
        self._judge_by(settings.posture, self._monitor)

    def continue_from(self, previous: PostureObserver) -> None:
        """Go on with the person of an observer that is not used any more."""
        self._judge_by(self.settings.posture, previous._monitor)
        self._limit, self._person_id = previous._limit, previous._person_id
        self.stream = previous.stream

    def close(self) -> None:
        """Free the networks."""
        close_all(self.selections)

    def reset(self) -> None:
        """Forget the person, the calibration included."""
        self._source.estimator.reset()
        self._limit.reset()
        self.stream.reset()
        self._begin_person()

    def calibrate(self) -> None:
        """Learn the upright posture anew, from the next seconds of steady sitting."""
        self._monitor.calibrate()

    def is_due(self, stamp_s: float) -> bool:
        """
        Tell whether it is an image's turn.

        :param stamp_s: its header time [s].
        """
        now_s = self.stream.now_s
        # what is late is for the stream to judge
        return stamp_s < now_s or (stamp_s != now_s and self._limit.is_due(stamp_s))

    def observe(
        self,
        image: npt.NDArray[np.uint8],
        stamp_s: float,
        seen: SeenFaces | None = None,
        *,
        frame_id: str = '',
        intrinsics: CameraIntrinsics | None = None,
        placement: CameraPlacement | None = None,
        depth: DepthImage | None = None,
    ) -> PostureReading | None:
        """
        Measure and judge the posture in the stream's next image.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: its header time [s]; a jump back that lasts begins another stream.
        :param seen: the faces in it, if they are known: the one that goes with the body gives the
            person's id and a more exact head.
        :param frame_id: which camera took it.
        :param intrinsics: the camera's calibration, if there is one for this size.
        :param placement: how the camera stands; None: level, at an unknown height.
        :param depth: a registered depth image of the same time, if there is one.
        :returns: the reading; None: it is not this image's turn, it is late, or of another
            camera.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        :raises InferenceError: when an engine fails.
        """
        check_image(image)
        if not self.is_due(stamp_s):
            return None
        now_s = self.stream.advance(stamp_s, Source.of(image, frame_id))
        if now_s is None or self.stream.is_late:
            return None
        if self.stream.anew:
            self._source.estimator.reset()
            self._limit.reset()
            self._begin_person()
        self._limit.take(stamp_s, self.settings.max_rate_hz)
        body = self._source.estimator.process(image, stamp_s)
        return self._judge(body, _size_px(image), stamp_s, seen, intrinsics, placement, depth)

    def observe_still(
        self, image: npt.NDArray[np.uint8], seen: SeenFaces | None = None
    ) -> PostureReading:
        """
        Measure the person in a picture that belongs to no stream: nothing is known of before.

        :param image: (H, W, 3) uint8 RGB.
        :param seen: the faces in it.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when an engine fails.
        """
        alone = PostureObserver(self._source, self.settings)
        body = self._source.estimator.process_still(image)
        return alone._judge(body, _size_px(image), 0.0, seen, None, None, None)

    def _judge(
        self,
        body: BodyKeypoints | None,
        size_px: tuple[int, int],
        stamp_s: float,
        seen: SeenFaces | None,
        intrinsics: CameraIntrinsics | None,
        placement: CameraPlacement | None,
        depth: DepthImage | None,
    ) -> PostureReading:
        landmarks = None
        if body is not None and seen is not None:
            index = match_face(body, [face.xywh_px for face in seen.faces])
            if index is not None:
                landmarks = seen.faces[index].landmarks_px
                self._person_id = seen.faces[index].face_id
        sample = self._meter.measure(
            body,
            size_px,
            intrinsics=intrinsics,
            placement=placement,
            face=seen_face(landmarks, size_px, self._heads, intrinsics),
            depth=depth,
        )
        state = self._monitor.update(stamp_s, sample)
        if state.posture is Posture.AWAY:
            self._person_id = ''
        return PostureReading(state, body, self._person_id, size_px, self._source.backend)

    def _judge_by(self, settings: PostureSettings, monitor: PostureMonitor) -> None:
        """Go on with a monitor of the same person by these settings."""
        if not monitor.adopt(settings):
            before, monitor = monitor, PostureMonitor(settings)
            monitor.continue_from(before)
        self._monitor = monitor


def _size_px(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    return int(image.shape[1]), int(image.shape[0])
