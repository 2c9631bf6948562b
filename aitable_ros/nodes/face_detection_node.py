# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that finds faces in camera images and follows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rclpy.publisher import Publisher

from aitable_msgs.msg import FaceArray
from aitable_ros.inference.selection import AUTO
from aitable_ros.model_zoo.loading import loader
from aitable_ros.perception.faces.face_views import ViewSettings
from aitable_ros.perception.faces.far_faces import FarSettings
from aitable_ros.perception.faces.observer import DETECTORS, FaceObserver, FaceSettings
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
from aitable_ros.perception.images.seeing import SeeingSettings
from aitable_ros.perception.maths.settings import Settings
from aitable_ros.ros_support.frames.frame_hub import Frame
from aitable_ros.ros_support.messages.results import faces_to_message, keep_for_takers
from aitable_ros.ros_support.node.diagnostics import order_values
from aitable_ros.ros_support.node.hand_over import give
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.from_settings import settings_from, settings_parameters
from aitable_ros.ros_support.parameters.network_parameters import (
    BACKEND_PARAMETERS,
    IMAGE_PARAMETERS,
    backend_parameter,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin

SETTINGS: Mapping[str, type[Settings]] = {
    'views': ViewSettings,
    'seeing': SeeingSettings,
    'far': FarSettings,
}
"""Parameter groups and what they set."""


class FaceDetectionNode(ManagedNode):
    """
    Publishes ``faces`` (aitable_msgs/FaceArray) for every image of ``image_raw``.

    BlazeFace finds faces, the attention mesh measures 478 landmarks on each, with lids, lips and
    irises, and follows them from frame to frame; ids stay with the person.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        ParameterSpec(
            'refine_eyes',
            True,
            'measure lids, lips and irises as well (face_attention); without it FaceMesh runs, '
            'which takes two thirds of the time and hardly sees lids close',
            basic=True,
        ),
        ParameterSpec(
            'detector',
            AUTO,
            'what looks for far faces; short: nothing beside face_detection; auto works out from '
            'image size, far.default_fov_rad, far.max_distance_m and min_face_px which network '
            'is needed',
            choices=tuple(DETECTORS),
            basic=True,
        ),
        backend_parameter('face_detection and face_attention (or face_mesh)'),
        *BACKEND_PARAMETERS,
        ParameterSpec(
            'max_faces',
            4,
            'how many faces are followed at once',
            (1, 16),
            dynamic=True,
            basic=True,
        ),
        ParameterSpec(
            'budget_ms',
            10.0,
            'time that landmarks may take in an image; with more faces than that is enough '
            'for they take turns, the nearest and most central most often [ms]; 0: no limit',
            (0.0, 1000.0),
            dynamic=True,
        ),
        ParameterSpec(
            'min_score',
            0.5,
            'detections below this score are ignored (0.5: MediaPipe)',
            (0.0, 1.0),
            dynamic=True,
            basic=True,
        ),
        ParameterSpec(
            'min_face_px',
            24.0,
            'smaller faces are ignored [pixels]',
            (0.0, 10000.0),
            dynamic=True,
        ),
        ParameterSpec(
            'min_presence',
            0.5,
            'landmarks below this presence are no face (0.5: MediaPipe)',
            (0.0, 1.0),
            dynamic=True,
        ),
        ParameterSpec(
            'min_followed_presence',
            0.25,
            'the same for a face that was there an image ago (0.25: choice; lids that close and '
            'what covers a part of a face lower it)',
            (0.0, 1.0),
            dynamic=True,
        ),
        ParameterSpec(
            'redetect_interval',
            0.5,
            'while faces are followed, look for further ones this often [s]',
            (0.0, 60.0),
            dynamic=True,
        ),
        ParameterSpec(
            'memory',
            3.0,
            'a face that returns within this time near its last place keeps its id [s]',
            (0.0, 600.0),
            dynamic=True,
        ),
        *settings_parameters(SETTINGS),
    )

    def __init__(self, name: str = 'face_detection', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(FaceArray, 'faces', 10)
        self.loaded: FaceObserver | None = None
        self._face_count = 0
        self._end_giving: Callable[[], None] = lambda: None

    def load(self, values: Mapping[str, Any]) -> FaceObserver:
        """Load BlazeFace and the attention mesh."""
        observer = FaceObserver.load(
            loader(values, self.get_logger()),
            _settings(values),
            refine_eyes=values['refine_eyes'],
            detector=values['detector'],
            backend=values['backend'],
        )
        if values['refine_eyes'] and observer.why_unrefined:
            self.get_logger().warning(_unrefined(observer))
        if observer.why_near:
            self.get_logger().warning(_near(observer))
        return observer

    def missing(self, loaded: FaceObserver, values: Mapping[str, Any]) -> str:
        """Say why the eyes are not refined, where they are to be, and far faces not found."""
        unrefined = loaded.why_unrefined if values['refine_eyes'] else ''
        return '; '.join(filter(None, (unrefined, loaded.why_near)))

    def carry_over(self, previous: FaceObserver, loaded: FaceObserver) -> None:
        """Keep the faces and their ids."""
        loaded.continue_from(previous)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the thresholds."""
        assert self.loaded is not None
        self.loaded.adopt(_settings(values))

    def reset(self) -> None:
        """Forget all faces; ids go on counting."""
        self._face_count = 0
        if self.loaded is not None:
            self.loaded.reset()

    def start(self) -> None:
        """Subscribe to the images."""
        if self.hands_over:
            self._end_giving = give(self, self._publisher)
        self.subscribe_to_frames(self.offer)

    def stop(self) -> None:
        """Hand no faces over any more."""
        self._end_giving()

    def adapt(self) -> None:
        """Follow a change of the image transport."""
        self.subscribe_to_frames(self.offer)

    def results(self, item: Frame) -> Iterator[tuple[Publisher, Any]]:
        """Find the faces of one frame."""
        assert self.loaded is not None
        seen = self.loaded.observe(item.pixels(), item.stamp_ns * 1e-9, item.header.frame_id)
        self.tell_order(self.loaded.stream)
        if seen is None:
            return
        self._face_count = len(seen.faces) + len(seen.waiting)
        message = faces_to_message(seen, item.header)
        yield self._publisher, keep_for_takers(message, seen) if self.hands_over else message

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add the number of faces, what looks for far ones, and how lids are measured."""
        yield 'faces', self._face_count
        if self.loaded is not None:
            yield from order_values(self.loaded.stream)
            yield 'measured faces', self.loaded.turns
            yield 'detector', self.loaded.looking
            yield 'eyes', _unrefined(self.loaded) if self.loaded.why_unrefined else 'refined'

    @property
    def notice(self) -> str:
        """Say what is measured less well than it was asked for."""
        observer = self.loaded
        if observer is None:
            return ''
        unrefined = observer.why_unrefined and self.values['refine_eyes']
        problems = (
            observer.stream.problem,
            unrefined and _unrefined(observer),
            observer.why_near and _near(observer),
        )
        return '; '.join(filter(None, problems))


def _unrefined(observer: FaceObserver) -> str:
    return f'lids are measured by FaceMesh alone: {observer.why_unrefined}'


def _near(observer: FaceObserver) -> str:
    return f'far faces are found less well: {observer.why_near}'


def _settings(values: Mapping[str, Any]) -> FaceSettings:
    return FaceSettings(
        min_score=values['min_score'],
        memory_s=values['memory'],
        pipeline=PipelineSettings(
            max_faces=values['max_faces'],
            min_face_px=values['min_face_px'],
            budget_ms=values['budget_ms'],
            min_presence=values['min_presence'],
            min_followed_presence=values['min_followed_presence'],
            redetect_interval_s=values['redetect_interval'],
        ),
        views=settings_from(values, 'views', ViewSettings),
        seeing=settings_from(values, 'seeing', SeeingSettings),
        far=settings_from(values, 'far', FarSettings),
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [FaceDetectionNode()], args)


if __name__ == '__main__':
    main()
