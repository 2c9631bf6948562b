# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that estimates the facial expression of every face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from aitable_msgs.msg import Emotion, FaceArray
from aitable_ros.analysis.expression import EmotionEstimate
from aitable_ros.analysis.expression_geometry import GeometryExpression
from aitable_ros.ros_support.executor import spin
from aitable_ros.ros_support.managed_node import ManagedNode
from aitable_ros.ros_support.message_conversion import emotion_to_message, landmarks_of
from aitable_ros.ros_support.parameters import ParameterSpec


class EmotionNode(ManagedNode):
    """
    Publishes ``emotion`` (aitable_msgs/Emotion), one message per face of ``faces``.

    Backend ``geometry`` reads the expression from the landmarks: an estimate for trying the
    system without a network's weights.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec(
            'backend',
            'auto',
            'what estimates the expression; auto takes the first that loads',
            choices=('auto', 'geometry'),
        ),
        ParameterSpec(
            'min_face_size',
            48.0,
            'faces that are narrower are UNKNOWN [pixels]',
            minimum=0.0,
            maximum=4096.0,
            dynamic=True,
        ),
    )

    def __init__(self, name: str = 'emotion', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Emotion, 'emotion', 10)
        self._estimator: GeometryExpression | None = None
        self._faces: Any = None

    def load(self) -> None:
        """Make the estimator."""
        self._estimator = GeometryExpression()

    def unload(self) -> None:
        """Drop the estimator."""
        self._estimator = None

    def start(self) -> None:
        """Subscribe to the faces."""
        self._faces = self.create_subscription(FaceArray, 'faces', self.offer, 10)

    def stop(self) -> None:
        """Unsubscribe."""
        faces, self._faces = self._faces, None
        if faces is not None:
            self.destroy_subscription(faces)

    def process(self, item: FaceArray) -> None:
        """Estimate and publish the expression of every face."""
        assert self._estimator is not None
        for face in item.faces:
            landmarks = landmarks_of(face)
            if landmarks is None or face.width < self.params['min_face_size']:
                estimate = EmotionEstimate.unknown('geometry')
            else:
                estimate = self._estimator.estimate(landmarks)
            self._publisher.publish(emotion_to_message(estimate, face))
            self.note_published(item.header.stamp)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Say what estimates."""
        return (('emotion backend', 'geometry'),)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [EmotionNode()], args)


if __name__ == '__main__':
    main()
