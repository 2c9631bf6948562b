# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that measures the signs of fatigue and the head pose of every face."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from rclpy.publisher import Publisher

from aitable_msgs.msg import Face, FaceArray, Fatigue
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import AUTO, Selection
from aitable_ros.model_zoo.loading import close_models, loading_models
from aitable_ros.nodes.fatigue_parameters import (
    FATIGUE_PARAMETERS,
    SETTINGS,
    WITH_GAPS,
    fatigue_settings,
    settings_of,
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
)
from aitable_ros.perception.fatigue.visibility import FaceView, Visibility
from aitable_ros.perception.head.head_pose import (
    HeadPose,
    HeadPoseSettings,
    HeadPoseTracker,
)
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.camera_calibration import CameraCalibration
from aitable_ros.ros_support.messages.face_transforms import FaceTransforms
from aitable_ros.ros_support.messages.results import fatigue_to_message, landmarks_of
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.table import (
    ParameterSpec,
)
from aitable_ros.ros_support.process.executor import spin

LEFT_EYE = slice(2 * Face.KEYPOINT_LEFT_EYE, 2 * Face.KEYPOINT_LEFT_EYE + 2)
RIGHT_EYE = slice(2 * Face.KEYPOINT_RIGHT_EYE, 2 * Face.KEYPOINT_RIGHT_EYE + 2)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What a configuration is made of, beside what can change while it works."""

    head: HeadPoseSettings
    selections: tuple[Selection, ...] = ()
    eyes: EyeContours | None = None
    unrefined: str = ''


@dataclass(frozen=True, eq=False)
class _Person:
    """What is kept of one face id."""

    monitor: FatigueMonitor
    head: HeadPoseTracker


@dataclass(frozen=True, eq=False)
class _Look:
    """What one image shows of one face, before its eyes are measured."""

    face: Face
    person: _Person
    landmarks_px: npt.NDArray[np.float32] | None
    pose: HeadPose | None
    view: FaceView

    @property
    def measurable(self) -> bool:
        """Whether the eyes are worth measuring."""
        seen = self.person.monitor.judge(self.view) is Visibility.MEASURED
        return seen and self.landmarks_px is not None


class FatigueNode(ManagedNode):
    """
    Publishes ``fatigue`` (aitable_msgs/Fatigue), one message per face of ``faces``, and TF.

    Every face id has its own state; time is header time throughout. Where ``camera_info`` is
    published, head poses are measured with its intrinsics.
    """

    # every sample counts in a time series: let a few wait rather than lose a blink
    QUEUE_DEPTH: ClassVar[int] = 10

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = FATIGUE_PARAMETERS

    def __init__(self, name: str = 'fatigue', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Fatigue, 'fatigue', 10)
        self._transforms = FaceTransforms(self)
        self.loaded: _Loaded | None = None
        self._settings = FatigueSettings()
        self._people: dict[str, _Person] = {}
        self._last_stamp_s = math.nan
        self._faces: Any = None
        self._camera = CameraCalibration(self)
        self._without_image = 0
        self._face_count = 0

    def load(self, values: Mapping[str, Any]) -> _Loaded:
        """Load the network; read the thresholds, which are checked together here."""
        loaded = self._load_eyes(values)
        try:
            fatigue_settings(values, refined=loaded.eyes is not None)
        except ValueError:
            close_models(loaded.selections)
            raise
        return loaded

    def carry_over(self, previous: _Loaded, loaded: _Loaded) -> None:
        """Keep the head poses' smoothing if its settings are the same."""
        if loaded.head != previous.head:
            self._people = {
                face_id: replace(person, head=HeadPoseTracker(loaded.head))
                for face_id, person in self._people.items()
            }

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds; whose windows do not fit them starts anew."""
        loaded = self.loaded
        assert loaded is not None
        self._camera.rectified = values['rectified']
        self._settings = fatigue_settings(values, refined=loaded.eyes is not None)
        self._people = {
            face_id: person
            if person.monitor.adopt(self._settings)
            else replace(person, monitor=FatigueMonitor(self._settings))
            for face_id, person in self._people.items()
        }

    def check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        """Refuse thresholds that contradict each other."""
        refined = values['refine_eyes']
        if self.loaded is not None:
            refined = refined and self.loaded.eyes is not None
        for prefix in SETTINGS:
            shared = 'max_gap' if prefix in WITH_GAPS else 'unrefined_closed_ratio'
            if shared in changed or any(name.startswith(prefix + '.') for name in changed):
                settings_of(prefix, values, refined=refined)

    def reset(self) -> None:
        """Forget everybody."""
        self._people = {}
        self._last_stamp_s = math.nan
        self._face_count = 0

    def start(self) -> None:
        """Subscribe to the faces, the camera's calibration, and the images if they are needed."""
        self.adapt()
        self._faces = self.create_subscription(FaceArray, 'faces', self.offer, 10)
        self._camera.rectified = self.params['rectified']
        self._camera.start()

    def adapt(self) -> None:
        """Receive images if a network looks at them."""
        if self.loaded is not None and self.loaded.eyes is not None:
            self.subscribe_to_frames(self.frames.add)
        else:
            self.unsubscribe_from_frames()
            self.frames.clear()

    def stop(self) -> None:
        """Unsubscribe."""
        faces, self._faces = self._faces, None
        if faces is not None:
            self.destroy_subscription(faces)
        self._camera.stop()
        self.frames.clear()

    def results(self, item: FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """Update the state of every face."""
        stamp_s = stamp_to_ns(item.header.stamp) * 1e-9
        if stamp_s < self._last_stamp_s:
            self.get_logger().info('time went backwards: everybody starts anew')
            self._people = {}
        self._last_stamp_s = stamp_s
        self._face_count = len(item.faces)
        looks = [self._look(face, stamp_s) for face in item.faces]
        for look, ears in zip(looks, self._measure_eyes(item, looks)):
            state = look.person.monitor.update(stamp_s, _sample(look, ears))
            backend = ', '.join(
                [look.face.backend, *(f'{s.engine.name}: {s.backend}' for s in self.selections())]
            )
            yield self._publisher, fatigue_to_message(state, look.pose, look.face, backend)
        if self.values['publish_tf']:
            yield from self._transforms.results(
                item.header, {look.face.face_id: look.pose for look in looks if look.pose}
            )
        forget_after_s = self.values['forget_after']
        self._people = {
            face_id: person
            for face_id, person in self._people.items()
            if stamp_s - person.monitor.last_stamp_s <= forget_after_s
        }

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what measures the eyes, the camera's calibration, and how many people are kept."""
        loaded = self.loaded
        eyes = 'face_mesh: ' + loaded.unrefined if loaded and loaded.unrefined else 'iris_landmark'
        return (
            ('faces', self._face_count),
            ('eyes', eyes if loaded else 'not loaded'),
            ('head pose', self._camera.description),
            ('tf', self._transforms.problem or 'face_<id>'),
            ('people', len(self._people)),
            ('faces without their image', self._without_image),
        )

    @property
    def notice(self) -> str:
        """Say what is measured less well than it was asked for."""
        loaded = self.loaded
        problems = [self._camera.problem]
        if loaded is not None and loaded.unrefined and self.values['refine_eyes']:
            problems.append(f'eyes are measured by FaceMesh alone: {loaded.unrefined}')
        return '; '.join(filter(None, problems))

    def _load_eyes(self, values: Mapping[str, Any]) -> _Loaded:
        head: HeadPoseSettings = settings_of('head_pose', values, refined=True)
        if not values['refine_eyes']:
            return _Loaded(head, unrefined='refine_eyes is false')
        try:
            with loading_models(('iris_landmark',), values, self.get_logger()) as selections:
                return _Loaded(head, selections, EyeContours(selections[0].engine))
        except InferenceError as error:
            if values['backend'] != AUTO:
                raise
            self.get_logger().warning(f'eyes are measured by FaceMesh alone: {error}')
            return _Loaded(head, unrefined=str(error))

    def _look(self, face: Face, stamp_s: float) -> _Look:
        person = self._people.get(face.face_id)
        if person is None:
            assert self.loaded is not None
            person = self._people[face.face_id] = _Person(
                FatigueMonitor(self._settings), HeadPoseTracker(self.loaded.head)
            )
        landmarks = landmarks_of(face)
        if landmarks is not None and not np.isfinite(landmarks).all():
            landmarks = None
        pose = self._pose(person, face, landmarks, stamp_s)
        eyes = face.keypoints[LEFT_EYE] - face.keypoints[RIGHT_EYE]
        view = FaceView(
            presence=face.presence if landmarks is not None else math.nan,
            eye_distance_px=float(np.hypot(*eyes)),
            yaw_rad=pose.view_yaw_rad if pose else math.nan,
            pitch_rad=pose.view_pitch_rad if pose else math.nan,
        )
        return _Look(face, person, landmarks, pose, view)

    def _pose(
        self,
        person: _Person,
        face: Face,
        landmarks_px: npt.NDArray[np.float32] | None,
        stamp_s: float,
    ) -> HeadPose | None:
        size_px = (face.image_width, face.image_height)
        if min(size_px) == 0:
            return None
        try:
            return person.head.update(stamp_s, landmarks_px, size_px, self._camera.intrinsics)
        except ValueError as error:  # an image of another shape than the calibration's
            self._camera.refuse(error)
            return person.head.update(stamp_s, landmarks_px, size_px, None)

    def _measure_eyes(
        self, item: FaceArray, looks: Sequence[_Look]
    ) -> Sequence[EyeAspectRatios | None]:
        """Measure all eyes of an image in one batch; None where the image was not there."""
        unmeasured = EyeAspectRatios(math.nan, math.nan)
        measurable = [look for look in looks if look.measurable]
        eyes = self.loaded.eyes if self.loaded is not None else None
        if eyes is None:
            return [
                eye_aspect_ratios(look.landmarks_px)
                if look.landmarks_px is not None and look.measurable
                else unmeasured
                for look in looks
            ]
        frame = self.frames.get(stamp_to_ns(item.header.stamp)) if measurable else None
        if measurable and frame is None:
            self._without_image += 1
            return [None if look.measurable else unmeasured for look in looks]
        if frame is None:
            return [unmeasured] * len(looks)
        landmarks = [look.landmarks_px for look in measurable if look.landmarks_px is not None]
        measured = iter(eyes.run(frame.rgb(), landmarks))
        return [next(measured) if look.measurable else unmeasured for look in looks]


def _sample(look: _Look, ears: EyeAspectRatios | None) -> FatigueSample:
    landmarks = look.landmarks_px
    return FatigueSample(
        left_ear=ears.left if ears else math.nan,
        right_ear=ears.right if ears else math.nan,
        mar=math.nan if landmarks is None else mouth_aspect_ratio(landmarks),
        view=look.view,
        has_image=ears is not None,
        head_pitch_rad=look.pose.pitch_rad if look.pose else math.nan,
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [FatigueNode()], args)


if __name__ == '__main__':
    main()
