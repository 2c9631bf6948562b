# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that finds faces in camera images and follows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from aitable_msgs.msg import FaceArray
from aitable_ros.analysis.face_tracker import FaceTracker, TrackerSettings
from aitable_ros.inference.selection import Selection
from aitable_ros.perception.face_detector import FaceDetector
from aitable_ros.perception.face_mesh import FaceMesh
from aitable_ros.perception.face_pipeline import FacePipeline, PipelineSettings
from aitable_ros.ros_support.executor import spin
from aitable_ros.ros_support.frame_hub import Frame
from aitable_ros.ros_support.managed_node import ManagedNode
from aitable_ros.ros_support.message_conversion import faces_to_message
from aitable_ros.ros_support.models import load_models
from aitable_ros.ros_support.parameters import (
    BACKEND_PARAMETERS,
    IMAGE_PARAMETERS,
    ParameterSpec,
    backend_parameter,
)


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
            'max_faces', 4, 'how many faces are followed at once', minimum=1, maximum=16
        ),
        ParameterSpec(
            'min_score',
            0.5,
            'detections below this score are ignored, 0..1 (0.5: MediaPipe)',
            minimum=0.0,
            maximum=1.0,
        ),
        ParameterSpec(
            'min_presence',
            0.5,
            'landmarks below this presence are no face, 0..1 (0.5: MediaPipe)',
            minimum=0.0,
            maximum=1.0,
        ),
        ParameterSpec(
            'redetect_interval',
            0.5,
            'while faces are followed, look for further ones this often [s]',
            minimum=0.0,
            maximum=60.0,
        ),
        ParameterSpec(
            'memory',
            3.0,
            'a face that returns within this time near its last place keeps its id [s]',
            minimum=0.0,
            maximum=600.0,
        ),
    )

    def __init__(self, name: str = 'face_detection', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(FaceArray, 'faces', 10)
        self._selections: tuple[Selection, ...] = ()
        self._pipeline: FacePipeline | None = None
        self._backend = ''
        self._face_count = 0

    def load(self) -> None:
        """Load BlazeFace and FaceMesh."""
        parameters = self.params.values()
        self._selections = load_models(
            ('face_detection', 'face_mesh'), parameters, self.get_logger()
        )
        detection, mesh = self._selections
        self._pipeline = FacePipeline(
            FaceDetector(detection.engine, min_score=parameters['min_score']),
            FaceMesh(mesh.engine),
            FaceTracker(TrackerSettings(memory_s=parameters['memory'])),
            PipelineSettings(
                max_faces=parameters['max_faces'],
                min_presence=parameters['min_presence'],
                redetect_interval_s=parameters['redetect_interval'],
            ),
        )
        self._backend = ', '.join(f'{s.engine.name}: {s.backend}' for s in self._selections)

    def unload(self) -> None:
        """Close the networks."""
        self._pipeline = None
        for selection in self._selections:
            selection.engine.close()
        self._selections = ()

    def start(self) -> None:
        """Subscribe to the images."""
        self.subscribe_to_frames(self.offer)

    def process(self, item: Frame) -> None:
        """Find the faces of one frame and publish them."""
        assert self._pipeline is not None
        image = item.rgb()
        faces = self._pipeline.process(image, item.stamp_ns * 1e-9)
        self._face_count = len(faces)
        height, width = image.shape[:2]
        self._publisher.publish(
            faces_to_message(faces, item.header, (width, height), self._backend)
        )
        self.note_published(item.header.stamp)

    def selections(self) -> Sequence[Selection]:
        """Give the two networks."""
        return self._selections

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add the number of faces in the last image."""
        return (('faces', self._face_count),)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [FaceDetectionNode()], args)


if __name__ == '__main__':
    main()
