# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that measures the signs of fatigue and the head pose of every face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, ClassVar

from rclpy.publisher import Publisher

from aitable_msgs.msg import FaceArray, Fatigue
from aitable_ros.model_zoo.loading import loader
from aitable_ros.nodes.fatigue_parameters import (
    CHECKED,
    FATIGUE_PARAMETERS,
    fatigue_settings,
)
from aitable_ros.perception.fatigue.observer import NETWORK, FatigueObserver
from aitable_ros.ros_support.messages.camera_calibration import CameraCalibration
from aitable_ros.ros_support.messages.face_transforms import FaceTransforms
from aitable_ros.ros_support.messages.results import fatigue_to_message
from aitable_ros.ros_support.node.faces_input import FacesInputNode
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin


class FatigueNode(FacesInputNode):
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
        self._camera = CameraCalibration(self)
        self.loaded: FatigueObserver | None = None

    def load(self, values: Mapping[str, Any]) -> FatigueObserver:
        """Load the network; read the thresholds, which are checked together here."""
        observer = FatigueObserver.load(
            loader(values, self.get_logger()),
            refine_eyes=values['refine_eyes'],
            backend=values['backend'],
            settings=fatigue_settings(values),
        )
        if values['refine_eyes'] and not observer.refined:
            self.get_logger().warning(_unrefined(observer))
        return observer

    def missing(self, loaded: FatigueObserver, values: Mapping[str, Any]) -> str:
        """Say why the eyes are not refined, where they are to be."""
        return loaded.why_unrefined if values['refine_eyes'] and not loaded.refined else ''

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds; whose windows do not fit them starts anew."""
        assert self.loaded is not None
        self._camera.rectified = values['rectified']
        self.loaded.adopt(fatigue_settings(values))

    def check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        """Refuse thresholds that contradict each other."""
        refined = values['refine_eyes'] and (self.loaded is None or self.loaded.refined)
        if any(name.partition('.')[0] in CHECKED for name in changed):
            fatigue_settings(values).of_eyes(refined=refined)

    def start(self) -> None:
        """Subscribe to the faces, the camera's calibration, and the images if they are needed."""
        super().start()
        self._camera.rectified = self.params['rectified']
        self._camera.start()

    def stop(self) -> None:
        """Unsubscribe."""
        super().stop()
        self._camera.stop()

    def results(self, item: FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """Update the state of every face."""
        assert self.loaded is not None
        seen = self.seen_in(item)
        readings = self.loaded.observe(
            seen, self.look_at(item.header), self._camera.for_size(seen.size_px)
        )
        for reading in readings:
            yield self._publisher, fatigue_to_message(reading, item.header)
        if self.values['publish_tf']:
            yield from self._transforms.results(
                item.header, {one.face.face_id: one.pose for one in readings if one.pose}
            )

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what measures the eyes, the camera's calibration, and how many people are kept."""
        observer = self.loaded
        yield 'faces', self.face_count
        yield 'head pose', self._camera.description
        yield 'tf', self._transforms.problem or 'face_<id>'
        if observer is None:
            yield 'eyes', 'not loaded'
            return
        yield 'eyes', NETWORK if observer.refined else f'face_mesh: {observer.why_unrefined}'
        yield 'people', observer.people
        yield 'faces without their image', observer.without_image

    @property
    def notice(self) -> str:
        """Say what is measured less well than it was asked for."""
        observer = self.loaded
        problems = [self._camera.problem]
        if observer is not None and not observer.refined and self.values['refine_eyes']:
            problems.append(_unrefined(observer))
        return '; '.join(filter(None, problems))


def _unrefined(observer: FatigueObserver) -> str:
    return f'eyes are measured by FaceMesh alone: {observer.why_unrefined}'


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [FatigueNode()], args)


if __name__ == '__main__':
    main()
