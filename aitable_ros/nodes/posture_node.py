# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that measures how the person at the table sits."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from aitable_msgs.msg import FaceArray, Posture
from aitable_ros.inference.selection import Selection
from aitable_ros.model_zoo.loading import load_models
from aitable_ros.nodes.posture_parameters import (
    POSTURE_PARAMETERS,
    SETTINGS,
    make_meter,
    make_settings,
)
from aitable_ros.paths import engines_dir
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.head_pose import HeadPoseEstimator, HeadPoseSettings
from aitable_ros.perception.maths.rate_limit import RateLimit
from aitable_ros.perception.posture.body_keypoints import BodyKeypoints
from aitable_ros.perception.posture.body_source import BodySource, load_body_source
from aitable_ros.perception.posture.distance import DepthImage
from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.perception.posture.measure import PostureMeter, PostureSample
from aitable_ros.perception.posture.monitor import (
    PostureMonitor,
    PostureState,
)
from aitable_ros.perception.posture.person import match_face, seen_face
from aitable_ros.perception.posture.rule import Posture as Verdict
from aitable_ros.ros_support.frames.frame_hub import Frame, stamp_to_ns
from aitable_ros.ros_support.frames.image_conversion import ImageConversionError
from aitable_ros.ros_support.messages.camera_calibration import CameraCalibration
from aitable_ros.ros_support.messages.depth import depth_from_message
from aitable_ros.ros_support.messages.posture import posture_to_message
from aitable_ros.ros_support.messages.results import landmarks_of
from aitable_ros.ros_support.messages.static_transforms import StaticTransforms
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.node.operations import reply_later
from aitable_ros.ros_support.node.services import answer
from aitable_ros.ros_support.parameters.from_settings import settings_from
from aitable_ros.ros_support.parameters.table import (
    ParameterSpec,
)
from aitable_ros.ros_support.process.executor import spin

FACES_TIMEOUT_S = 0.5
"""While faces come, images wait for theirs; when none came for so long, they no longer do."""

DEPTH_BUFFER = 10


@dataclass(eq=False)
class _Loaded:
    """What a configuration is made of, and what is known of the person by it."""

    body: BodySource
    meter: PostureMeter
    monitor: PostureMonitor
    heads: HeadPoseEstimator

    @property
    def selections(self) -> tuple[Selection, ...]:
        """The networks that run."""
        return self.body.selections


class PostureNode(ManagedNode):
    """
    Publishes ``posture`` (aitable_msgs/Posture), of the one person at the table.

    Body keypoints come from the images. Where ``faces`` are published, the face that goes with
    the body gives the person's id and a more exact head. ``camera_info`` gives the lens,
    ``/tf_static`` or parameters the camera's place above the desk, and a registered depth image
    (``depth/image_raw``) the third dimension. Time is header time throughout.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = POSTURE_PARAMETERS

    def __init__(self, name: str = 'posture', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Posture, 'posture', 10)
        self.loaded: _Loaded | None = None
        self._camera = CameraCalibration(self)
        self._transforms = StaticTransforms(self)
        self._limit = RateLimit()
        self._last_stamp_s = math.nan
        self._person_id = ''
        self._state: PostureState | None = None
        self._placement_problem = self._depth_problem = ''
        self._without_image = 0
        self._faces: Any = None
        self._faces_heard_s = -math.inf
        self._depths: Any = None
        self._depth_lock = threading.Lock()
        self._depth_messages: deque[Image] = deque(maxlen=DEPTH_BUFFER)
        reply_later(
            self.create_service(
                Trigger,
                '~/calibrate',
                lambda request, response: response,
                callback_group=ReentrantCallbackGroup(),
            ),
            self._on_calibrate,
        )

    def load(self, values: Mapping[str, Any]) -> _Loaded:
        """Load the network; read the thresholds, which are checked together here."""
        meter, settings = make_meter(values), make_settings(values)
        heads = HeadPoseEstimator(HeadPoseSettings(default_fov_rad=meter.settings.default_fov_rad))
        body = load_body_source(
            lambda names: load_models(names, values, self.get_logger()),
            values['network'],
            model=values['model'],
            backend=values['backend'],
            engines_dir=engines_dir(values['engines_dir'] or None),
            threads=values['threads'],
        )
        return _Loaded(body, meter, PostureMonitor(settings), heads)

    def unload(self, loaded: _Loaded) -> None:
        """Free the network."""
        loaded.body.close()

    def carry_over(self, previous: _Loaded, loaded: _Loaded) -> None:
        """Keep the person, or, where the smoothing or the window changed, the calibration."""
        settings = loaded.monitor.settings
        if previous.monitor.adopt(settings):
            loaded.monitor = previous.monitor
        else:
            loaded.monitor.continue_from(previous.monitor)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds and the camera's place."""
        loaded = self.loaded
        assert loaded is not None
        self._camera.rectified = values['rectified']
        meter, settings = make_meter(values), make_settings(values)
        loaded.meter.settings, loaded.meter.distance = meter.settings, meter.distance
        if not loaded.monitor.adopt(settings):
            monitor = PostureMonitor(settings)
            monitor.continue_from(loaded.monitor)
            loaded.monitor = monitor

    def check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        """Refuse thresholds that contradict each other."""
        for prefix, settings_class in SETTINGS.items():
            if any(name.startswith(prefix + '.') for name in changed):
                settings_from(values, prefix, settings_class)

    def reset(self) -> None:
        """Forget the person, the calibration included."""
        self._limit.reset()
        self._last_stamp_s = math.nan
        self._person_id = ''
        self._state = None
        if self.loaded is not None:
            self.loaded.body.estimator.reset()
            self.loaded.meter.reset()
            self.loaded.monitor.reset()

    def start(self) -> None:
        """Subscribe to the images and to whatever helps."""
        self.adapt()
        self._camera.start()

    def adapt(self) -> None:
        """Subscribe to what the parameters ask for."""
        values = self.values
        self._camera.rectified = values['rectified']
        self.subscribe_to_frames(self._take_frame)
        if values['use_faces'] and self._faces is None:
            self._faces = self.create_subscription(FaceArray, 'faces', self._take_faces, 10)
        elif not values['use_faces']:
            self._unsubscribe_from_faces()
        if values['use_depth'] and self._depths is None:
            self._depths = self.create_subscription(
                Image, 'depth/image_raw', self._take_depth, qos_profile_sensor_data
            )
        elif not values['use_depth']:
            self._unsubscribe_from_depth()
        if values['desk_frame']:
            self._transforms.start()
        else:
            self._transforms.stop()

    def stop(self) -> None:
        """Unsubscribe."""
        self._unsubscribe_from_faces()
        self._unsubscribe_from_depth()
        self._camera.stop()
        self._transforms.stop()
        self.frames.clear()

    def results(self, item: Frame | FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """Measure and judge the posture in one image, if it is this image's turn."""
        loaded = self.loaded
        assert loaded is not None
        stamp_ns = stamp_to_ns(item.header.stamp)
        stamp_s = stamp_ns * 1e-9
        if stamp_s == self._last_stamp_s or not self._limit.is_due(stamp_s):
            return
        frame = item if isinstance(item, Frame) else self.frames.get(stamp_ns)
        if frame is None:
            self._without_image += 1
            return
        self._limit.take(stamp_s, self.values['max_rate'])
        self._last_stamp_s = stamp_s
        image = frame.rgb()
        size_px = (int(image.shape[1]), int(image.shape[0]))
        body = loaded.body.estimator.process(image, stamp_s)
        faces = item if isinstance(item, FaceArray) else None
        sample = self._measure(loaded, body, faces, size_px, frame)
        state = loaded.monitor.update(stamp_s, sample)
        if state.posture is Verdict.AWAY:
            self._person_id = ''
        if state.calibrated_now:
            self.get_logger().info('the upright posture is calibrated')
        self._state = state
        message = posture_to_message(
            state, body, frame.header, size_px, loaded.body.backend, self._person_id
        )
        yield self._publisher, message

    @property
    def is_required(self) -> bool:
        """Posture is an extra: the other nodes work without it."""
        return False

    @property
    def notice(self) -> str:
        """Say what is measured less well than it was asked for."""
        problems = (self._camera.problem, self._placement_problem, self._depth_problem)
        return '; '.join(filter(None, problems))

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what measures, with which camera, and how the person sits."""
        loaded, state = self.loaded, self._state
        yield 'body', loaded.body.backend if loaded else 'not loaded'
        yield 'camera', self._camera.description
        yield 'faces', 'heard' if math.isfinite(self._faces_heard_s) else 'none'
        yield 'faces without their image', self._without_image
        if self.values['use_depth']:
            yield 'depth', self._depth_problem or 'used'
        if state is not None:
            yield 'camera placement', state.sample.placement.source.name.lower()
            yield 'posture', f'{state.posture.name.lower()}: {state.reason}'
            yield 'calibration', state.calibration.name.lower()
            yield 'measured from', state.angles.basis.name.lower()

    def calibrate_now(self) -> str:
        """
        Begin to learn the upright posture; ``posture`` tells how it goes.

        :raises RuntimeError: when the node is not at work.
        """
        worker = self._worker
        if worker is None or not (self.is_active and self.is_enabled):
            raise RuntimeError('there is nothing to calibrate: the node is not at work')
        worker.call(self._calibrate).result()
        return 'sit upright and still: the calibration has begun, topic posture tells how it goes'

    def _calibrate(self) -> None:
        assert self.loaded is not None
        self.loaded.monitor.calibrate()

    def _on_calibrate(self, request: Any, response: Any) -> Future[Any]:
        return answer(self, '~/calibrate', self.calibrate_now, response)

    def _take_frame(self, frame: Frame) -> None:
        """Let an image wait for its faces, if faces come at all."""
        self.frames.add(frame)
        if not 0.0 <= frame.stamp_ns * 1e-9 - self._faces_heard_s <= FACES_TIMEOUT_S:
            self.offer(frame)

    def _take_faces(self, message: FaceArray) -> None:
        self._faces_heard_s = stamp_to_ns(message.header.stamp) * 1e-9
        self.offer(message)

    def _take_depth(self, message: Image) -> None:
        with self._depth_lock:
            self._depth_messages.append(message)

    def _unsubscribe_from_faces(self) -> None:
        faces, self._faces = self._faces, None
        if faces is not None:
            self.destroy_subscription(faces)
        self._faces_heard_s = -math.inf

    def _unsubscribe_from_depth(self) -> None:
        depths, self._depths = self._depths, None
        if depths is not None:
            self.destroy_subscription(depths)
        with self._depth_lock:
            self._depth_messages.clear()

    def _measure(
        self,
        loaded: _Loaded,
        body: BodyKeypoints | None,
        faces: FaceArray | None,
        size_px: tuple[int, int],
        frame: Frame,
    ) -> PostureSample:
        """Measure with the camera's calibration, or without it where it does not fit."""
        landmarks = None
        if body is not None and faces is not None:
            boxes = [(one.x, one.y, one.width, one.height) for one in faces.faces]
            index = match_face(body, boxes)
            if index is not None:
                landmarks = landmarks_of(faces.faces[index])
                self._person_id = faces.faces[index].face_id
        depth = self._depth_for(frame, size_px) if body is not None else None
        placement = self._placement(frame.header.frame_id)

        def measure(intrinsics: CameraIntrinsics | None) -> PostureSample:
            return loaded.meter.measure(
                body,
                size_px,
                intrinsics=intrinsics,
                placement=placement,
                face=seen_face(landmarks, size_px, loaded.heads, intrinsics),
                depth=depth,
            )

        intrinsics = self._camera.intrinsics
        if intrinsics is None:
            return measure(None)
        try:
            return measure(intrinsics)
        except ValueError as error:  # an image of another shape than the calibration's
            self._camera.refuse(error)
            return measure(None)

    def _placement(self, camera_frame: str) -> CameraPlacement:
        """Tell how the camera stands: by TF, or by the parameters."""
        values = self.values
        problem, placement = '', None
        desk_frame = values['desk_frame']
        if desk_frame:
            transform = self._transforms.lookup(desk_frame, camera_frame)
            if transform is None:
                why = self._transforms.problem or f'no static transform from {camera_frame!r}'
                problem = f'desk_frame {desk_frame!r} is not used: {why}'
            else:
                try:
                    placement = CameraPlacement.from_transform(*transform)
                except ValueError as error:
                    problem = f'desk_frame {desk_frame!r} is not used: {error}'
        if problem and problem != self._placement_problem:
            self.get_logger().warning(problem)
        self._placement_problem = problem
        if placement is not None:
            return placement
        height_m = values['camera_height']
        pitch_rad, roll_rad = values['camera_pitch'], values['camera_roll']
        if not (height_m or pitch_rad or roll_rad):
            return CameraPlacement()
        return CameraPlacement.from_angles(pitch_rad, roll_rad, height_m or math.nan)

    def _depth_for(self, frame: Frame, size_px: tuple[int, int]) -> DepthImage | None:
        """Give the depth image that is nearest in time, if there is one that fits."""
        if not self.values['use_depth']:
            self._depth_problem = ''
            return None
        with self._depth_lock:
            messages = tuple(self._depth_messages)
        depth, problem = None, 'no depth image of that time'
        if messages:
            nearest = min(messages, key=lambda one: _apart_s(one, frame))
            if _apart_s(nearest, frame) <= self.values['depth_tolerance']:
                try:
                    depth, problem = depth_from_message(nearest), ''
                    if not depth.fits(size_px):
                        depth, problem = None, 'the depth image is not registered to the image'
                except ImageConversionError as error:
                    problem = str(error)
        if problem and problem != self._depth_problem:
            self.get_logger().warning(f'depth is not used: {problem}')
        self._depth_problem = problem
        return depth


def _apart_s(depth: Image, frame: Frame) -> float:
    return abs(stamp_to_ns(depth.header.stamp) - frame.stamp_ns) * 1e-9


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [PostureNode()], args)


if __name__ == '__main__':
    main()
