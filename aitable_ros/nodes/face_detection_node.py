# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that finds faces in camera images and follows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rclpy.publisher import Publisher

from aitable_msgs.msg import FaceArray
from aitable_ros.inference.selection import Selection
from aitable_ros.model_zoo.loading import loading_models
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline, PipelineSettings
from aitable_ros.perception.faces.tracker import FaceTracker, TrackerSettings
from aitable_ros.ros_support.frames.frame_hub import Frame
from aitable_ros.ros_support.messages.results import faces_to_message
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.network_parameters import (
    BACKEND_PARAMETERS,
    IMAGE_PARAMETERS,
    backend_parameter,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin


class _Loaded:
    """
    What a configuration is made of.

    :param selections: the networks.
    :param pipeline: runs them.
    """

    def __init__(self, selections: tuple[Selection, ...], pipeline: FacePipeline) -> None:
        self.selections = selections
        self.pipeline = pipeline
        self.backend = ', '.join(f'{s.engine.name}: {s.backend}' for s in selections)


class FaceDetectionNode(ManagedNode):
    """
    Publishes ``faces`` (aitable_msgs/FaceArray) for every image of ``image_raw``.

    BlazeFace finds faces, FaceMesh measures 468 landmarks on each and follows them from frame to
    frame; ids stay with the person.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        backend_parameter('face_detection and face_mesh'),
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
            'min_score',
            0.5,
            'detections below this score are ignored (0.5: MediaPipe)',
            (0.0, 1.0),
            dynamic=True,
            basic=True,
        ),
        ParameterSpec(
            'min_presence',
            0.5,
            'landmarks below this presence are no face (0.5: MediaPipe)',
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
    )

    def __init__(self, name: str = 'face_detection', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(FaceArray, 'faces', 10)
        self.loaded: _Loaded | None = None
        self._face_count = 0

    def load(self, values: Mapping[str, Any]) -> _Loaded:
        """Load BlazeFace and FaceMesh."""
        with loading_models(
            ('face_detection', 'face_mesh'), values, self.get_logger()
        ) as selections:
            return _Loaded(selections, _pipeline(selections, values))

    def carry_over(self, previous: _Loaded, loaded: _Loaded) -> None:
        """Keep the faces and their ids."""
        loaded.pipeline.continue_from(previous.pipeline)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Give the pipeline other thresholds."""
        loaded = self.loaded
        assert loaded is not None
        pipeline = _pipeline(loaded.selections, values)
        pipeline.continue_from(loaded.pipeline)
        loaded.pipeline = pipeline

    def reset(self) -> None:
        """Forget all faces; ids go on counting."""
        self._face_count = 0
        if self.loaded is not None:
            self.loaded.pipeline.reset()

    def start(self) -> None:
        """Subscribe to the images."""
        self.subscribe_to_frames(self.offer)

    def adapt(self) -> None:
        """Follow a change of the image transport."""
        self.subscribe_to_frames(self.offer)

    def results(self, item: Frame) -> Iterator[tuple[Publisher, Any]]:
        """Find the faces of one frame."""
        loaded = self.loaded
        assert loaded is not None
        image = item.rgb()
        faces = loaded.pipeline.process(image, item.stamp_ns * 1e-9)
        self._face_count = len(faces)
        height, width = image.shape[:2]
        yield (
            self._publisher,
            faces_to_message(faces, item.header, (width, height), loaded.backend),
        )

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add the number of faces in the last image."""
        return (('faces', self._face_count),)


def _pipeline(selections: Sequence[Selection], values: Mapping[str, Any]) -> FacePipeline:
    detection, mesh = selections
    return FacePipeline(
        FaceDetector(detection.engine, min_score=values['min_score']),
        FaceMesh(mesh.engine),
        FaceTracker(TrackerSettings(memory_s=values['memory'])),
        PipelineSettings(
            max_faces=values['max_faces'],
            min_presence=values['min_presence'],
            redetect_interval_s=values['redetect_interval'],
        ),
    )


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [FaceDetectionNode()], args)


if __name__ == '__main__':
    main()
