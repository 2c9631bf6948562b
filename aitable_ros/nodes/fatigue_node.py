# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that measures the signs of fatigue and the head pose of every face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, ClassVar

from rclpy.publisher import Publisher

from aitable_msgs.msg import Event, FaceArray, Fatigue
from aitable_ros.nodes.fatigue_parameters import (
    CHECKED,
    FATIGUE_PARAMETERS,
    RETIRED,
    fatigue_settings,
)
from aitable_ros.perception.fatigue.observer import FatigueObserver
from aitable_ros.ros_support.messages.attention import event_to_message
from aitable_ros.ros_support.messages.camera_calibration import CameraCalibration
from aitable_ros.ros_support.messages.face_transforms import FaceTransforms
from aitable_ros.ros_support.messages.results import fatigue_to_message
from aitable_ros.ros_support.node.diagnostics import order_values
from aitable_ros.ros_support.node.faces_input import FacesInputNode
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin

_UNREFINED = "lids are FaceMesh's, which hardly close"


class FatigueNode(FacesInputNode):
    """
    Publishes ``fatigue`` (aitable_msgs/Fatigue), one message per face of ``faces``, TF, and on
    ``events`` what has happened.

    It works on the landmarks alone, without images and networks.

    Every face id has its own state; time is header time throughout. Where ``camera_info`` is
    published, head poses are measured with its intrinsics.
    """

    # every sample counts in a time series: let a few wait rather than lose a blink
    QUEUE_DEPTH: ClassVar[int] = 10

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = FATIGUE_PARAMETERS

    def __init__(self, name: str = 'fatigue', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Fatigue, 'fatigue', 10)
        self._events = self.create_publisher(Event, 'events', 100)
        self._transforms = FaceTransforms(self)
        self._camera = CameraCalibration(self)
        self.loaded: FatigueObserver | None = None
        retired = [name for name in RETIRED if name in self._parameter_overrides]
        if retired:
            self.get_logger().warning(
                f'{", ".join(retired)}: no parameters of this node any more; lids are measured by '
                'face_detection, set them there'
            )

    def load(self, values: Mapping[str, Any]) -> FatigueObserver:
        """Read the thresholds, which are checked together here."""
        return FatigueObserver(fatigue_settings(values))

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds; whose windows do not fit them starts anew."""
        assert self.loaded is not None
        self._camera.rectified = values['rectified']
        self.loaded.adopt(fatigue_settings(values))

    def check(self, values: Mapping[str, Any], changed: Set[str]) -> None:
        """Refuse thresholds that contradict each other."""
        if any(name.partition('.')[0] in CHECKED for name in changed):
            fatigue_settings(values).of_eyes(refined=self.loaded is None or self.loaded.refined)

    def start(self) -> None:
        """Subscribe to the faces and the camera's calibration."""
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
        readings = self.loaded.observe(seen, self._camera.for_size(seen.size_px))
        self.tell_order(self.loaded.stream)
        for reading in readings:
            yield self._publisher, fatigue_to_message(reading, item.header)
        for event in self.loaded.events:
            yield self._events, event_to_message(event, item.header)
        # tf2 takes nothing any more that is older than what came with a wrong stamp
        if self.values['publish_tf'] and not self.loaded.stream.is_late:
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
        yield 'eyes', 'refined' if observer.refined else _UNREFINED
        yield 'people', observer.people
        yield from order_values(observer.stream)

    @property
    def notice(self) -> str:
        """Say what is measured less well than it could be."""
        observer = self.loaded
        unrefined = observer is not None and not observer.refined
        problems = (super().notice, self._camera.problem, _UNREFINED * unrefined)
        return '; '.join(filter(None, problems))


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [FatigueNode()], args)


if __name__ == '__main__':
    main()
