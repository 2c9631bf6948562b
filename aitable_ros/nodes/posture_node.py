# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that measures how the person at the table sits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future
from typing import Any, ClassVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.publisher import Publisher
from std_srvs.srv import Trigger

from aitable_msgs.msg import FaceArray, Posture
from aitable_ros.inference.selection import describe
from aitable_ros.model_zoo.loading import loader
from aitable_ros.nodes.posture_parameters import (
    POSTURE_PARAMETERS,
    SETTINGS,
    posture_settings,
)
from aitable_ros.paths import engines_dir
from aitable_ros.perception.posture.body_source import load_body_source
from aitable_ros.perception.posture.observer import PostureObserver, PostureReading
from aitable_ros.ros_support.frames.depth_input import DepthInput
from aitable_ros.ros_support.frames.frame_hub import Frame, stamp_to_ns
from aitable_ros.ros_support.frames.images_with_faces import ImagesWithFaces
from aitable_ros.ros_support.messages.camera_calibration import CameraCalibration
from aitable_ros.ros_support.messages.placement_input import PlacementInput
from aitable_ros.ros_support.messages.posture import posture_to_message
from aitable_ros.ros_support.messages.results import faces_from_message
from aitable_ros.ros_support.node.diagnostics import order_values
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.node.operations import reply_later
from aitable_ros.ros_support.node.services import answer
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin


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
        self.loaded: PostureObserver | None = None
        self._camera = CameraCalibration(self)
        self._placement = PlacementInput(self)
        self._depth = DepthInput(self)
        self._reading: PostureReading | None = None
        self._without_image = 0
        self._images = ImagesWithFaces(self)
        reply_later(
            self.create_service(
                Trigger,
                '~/calibrate',
                lambda request, response: response,
                callback_group=ReentrantCallbackGroup(),
            ),
            self._on_calibrate,
        )

    def load(self, values: Mapping[str, Any]) -> PostureObserver:
        """Load the network; read the thresholds, which are checked together here."""
        settings = posture_settings(values)
        source = load_body_source(
            loader(values, self.get_logger()),
            values['network'],
            model=values['model'],
            backend=values['backend'],
            engines_dir=engines_dir(values['engines_dir'] or None),
            threads=values['threads'],
        )
        return PostureObserver(source, settings)

    def carry_over(self, previous: PostureObserver, loaded: PostureObserver) -> None:
        """Keep the person, or, where the smoothing or the window changed, the calibration."""
        loaded.continue_from(previous)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds."""
        assert self.loaded is not None
        self._camera.rectified = values['rectified']
        self.loaded.adopt(posture_settings(values))

    def check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        """Refuse thresholds that contradict each other."""
        if any(name.partition('.')[0] in SETTINGS for name in changed):
            posture_settings(values)

    def reset(self) -> None:
        """Forget the person, the calibration included."""
        self._reading = None
        if self.loaded is not None:
            self.loaded.reset()

    def start(self) -> None:
        """Subscribe to the images and to whatever helps."""
        self.adapt()
        self._camera.start()

    def adapt(self) -> None:
        """Subscribe to what the parameters ask for."""
        values = self.values
        self._camera.rectified = values['rectified']
        self.subscribe_to_frames(self._images.take)
        self._images.follow(values['use_faces'])
        self._depth.follow(values['use_depth'])
        self._placement.follow(values['desk_frame'])

    def stop(self) -> None:
        """Unsubscribe."""
        self._images.follow(False)
        self._depth.follow(False)
        self._camera.stop()
        self._placement.follow('')
        self.frames.clear()

    def results(self, item: Frame | FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """Measure and judge the posture in one image, if it is this image's turn."""
        assert self.loaded is not None
        stamp_ns = stamp_to_ns(item.header.stamp)
        if not self.loaded.is_due(stamp_ns * 1e-9):
            return
        if isinstance(item, Frame):
            frame: Frame | None = item
        else:
            frame = self.frames.get(stamp_ns, item.header.frame_id)
        if frame is None:
            self._without_image += 1
            return
        image = frame.rgb()
        size_px = (int(image.shape[1]), int(image.shape[0]))
        reading = self.loaded.observe(
            image,
            stamp_ns * 1e-9,
            faces_from_message(item) if isinstance(item, FaceArray) else None,
            frame_id=frame.header.frame_id,
            intrinsics=self._camera.for_size(size_px),
            placement=self._placement.of(frame.header.frame_id, self.values),
            depth=self._depth.at(stamp_ns, size_px, self.values['depth_tolerance']),
        )
        self.tell_order(self.loaded.stream)
        if reading is None:
            return
        if reading.state.calibrated_now:
            self.get_logger().info('the upright posture is calibrated')
        self._reading = reading
        yield self._publisher, posture_to_message(reading, frame.header)

    @property
    def is_required(self) -> bool:
        """Posture is an extra: the other nodes work without it."""
        return False

    @property
    def notice(self) -> str:
        """Say what is measured less well than it was asked for."""
        order = self.loaded.stream.problem if self.loaded else ''
        problems = (order, self._camera.problem, self._placement.problem, self._depth.problem)
        return '; '.join(filter(None, problems))

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what measures, with which camera, and how the person sits."""
        reading = self._reading
        yield 'body', describe(self.selections()) if self.loaded else 'not loaded'
        if self.loaded:
            yield from order_values(self.loaded.stream)
        yield 'camera', self._camera.description
        yield 'faces', 'heard' if self._images.heard else 'none'
        yield 'faces without their image', self._without_image
        if self.values['use_depth']:
            yield 'depth', self._depth.problem or 'used'
        if reading is not None:
            state = reading.state
            yield 'camera placement', state.sample.placement.source.name.lower()
            yield 'posture', f'{state.posture.name.lower()}: {state.reason}'
            yield 'calibration', state.calibration.name.lower()
            yield 'measured from', state.angles.basis.name.lower()

    def calibrate_now(self) -> str:
        """
        Begin to learn the upright posture; ``posture`` tells how it goes.

        :raises RuntimeError: when the node is not at work.
        """
        worker, observer = self._worker, self.loaded
        if worker is None or observer is None or not (self.is_active and self.is_enabled):
            raise RuntimeError('there is nothing to calibrate: the node is not at work')
        worker.call(self._calibrate).result()
        return 'sit upright and still: the calibration has begun, topic posture tells how it goes'

    def _calibrate(self) -> None:
        assert self.loaded is not None
        self.loaded.calibrate()

    def _on_calibrate(self, request: Any, response: Any) -> Future[Any]:
        return answer(self, '~/calibrate', self.calibrate_now, response)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [PostureNode()], args)


if __name__ == '__main__':
    main()
