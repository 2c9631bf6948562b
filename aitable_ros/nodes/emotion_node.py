# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that estimates the facial expression of every face."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from rclpy.publisher import Publisher

from aitable_msgs.msg import Emotion, Face, FaceArray
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import AUTO, Selection
from aitable_ros.model_zoo.loading import loading_models
from aitable_ros.perception.emotion.emonet import CropSettings, EmoNet
from aitable_ros.perception.emotion.expression import UNKNOWN, EmotionEstimate
from aitable_ros.perception.emotion.expression_geometry import BACKEND as GEOMETRY
from aitable_ros.perception.emotion.expression_geometry import GeometryExpression
from aitable_ros.perception.emotion.expression_smoothing import EmotionSmoother
from aitable_ros.perception.emotion.face_measures import frontalise
from aitable_ros.perception.emotion.neutral_face import NeutralFaceLearner
from aitable_ros.perception.maths.rate_limit import RateLimit
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.messages.results import emotion_to_message, landmarks_of
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.network_parameters import (
    BACKEND_PARAMETERS,
    IMAGE_PARAMETERS,
    backend_parameter,
)
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin


@dataclass(frozen=True, eq=False)
class _Region:
    """Where a face is, as EmoNet's crop wants to know it."""

    xywh_px: npt.NDArray[np.float32]
    landmarks_px: npt.NDArray[np.float32] | None


@dataclass(eq=False)
class _Person:
    """What is kept of one face id."""

    smoother: EmotionSmoother
    neutral: NeutralFaceLearner = field(default_factory=NeutralFaceLearner)
    last_stamp_s: float = math.nan


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What a configuration is made of: a network, or why there is none."""

    selections: tuple[Selection, ...] = ()
    network: EmoNet | None = None
    why_geometry: str = ''


class EmotionNode(ManagedNode):
    """
    Publishes ``emotion`` (aitable_msgs/Emotion), one message per face of ``faces``.

    EmoNet looks at a crop of each face, all faces of an image in one batch. Where its weights
    are not at hand, backend ``geometry`` reads the expression from the landmarks.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        backend_parameter('the network; geometry, without one, is its last resort', GEOMETRY),
        ParameterSpec(
            'network',
            'emonet',
            'which network: EmoNet with 8 or with 5 expressions',
            choices=('emonet', 'emonet_5'),
        ),
        *BACKEND_PARAMETERS,
        ParameterSpec(
            'max_rate',
            5.0,
            'images per second that the network is run on; 0: all. A CPU takes a core for 0.1 to '
            '0.2 s per face [Hz]',
            (0.0, 1000.0),
            dynamic=True,
            basic=True,
        ),
        ParameterSpec(
            'crop_scale',
            round(CropSettings().scale, 3),
            "side of the network's crop over the mean side of the tight landmark box (1.82: the "
            'published figures)',
            (0.5, 5.0),
            dynamic=True,
        ),
        ParameterSpec(
            'min_face_size',
            48.0,
            'faces that are narrower are UNKNOWN [pixels]',
            (0.0, 4096.0),
            dynamic=True,
        ),
        ParameterSpec(
            'min_confidence',
            0.0,
            'below this confidence the expression is UNKNOWN',
            (0.0, 1.0),
            dynamic=True,
        ),
        ParameterSpec(
            'smoothing',
            0.0,
            "time constant over which a face's results are averaged; 0: not at all [s]",
            (0.0, 60.0),
            dynamic=True,
            basic=True,
        ),
        ParameterSpec(
            'forget_after',
            3.0,
            'a face that was not seen for this long starts anew [s]',
            (0.0, 3600.0),
            dynamic=True,
        ),
    )

    def __init__(self, name: str = 'emotion', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Emotion, 'emotion', 10)
        self._geometry = GeometryExpression()
        self.loaded: _Loaded | None = None
        self._people: dict[str, _Person] = {}
        self._limit = RateLimit()
        self._last_stamp_s = -math.inf
        self._without_image = 0
        self._face_count = 0
        self._faces: Any = None

    def load(self, values: Mapping[str, Any]) -> _Loaded:
        """Load the network, or say why the landmarks have to do."""
        if values['backend'] == GEOMETRY:
            return _Loaded(why_geometry=f'backend is {GEOMETRY}')
        try:
            with loading_models((values['network'],), values, self.get_logger()) as selections:
                return _Loaded(selections, EmoNet(selections[0].engine))
        except InferenceError as error:
            if values['backend'] != AUTO:
                raise
            self.get_logger().info(f'emotion runs on {GEOMETRY}; skipped: {error}')
            return _Loaded(why_geometry=str(error))

    def apply(self, values: Mapping[str, Any]) -> None:
        """Change the crop and the smoothing of those who are there."""
        if self.loaded is not None and self.loaded.network is not None:
            self.loaded.network.settings = CropSettings(scale=values['crop_scale'])
        for person in self._people.values():
            person.smoother.time_constant_s = values['smoothing']

    def reset(self) -> None:
        """Forget everybody."""
        self._people = {}
        self._limit.reset()
        self._last_stamp_s = -math.inf
        self._face_count = 0

    def start(self) -> None:
        """Subscribe to the faces, and to the images if a network looks at them."""
        self.adapt()
        self._faces = self.create_subscription(FaceArray, 'faces', self.offer, 10)

    def adapt(self) -> None:
        """Receive images if a network looks at them."""
        if self.loaded is not None and self.loaded.network is not None:
            self.subscribe_to_frames(self.frames.add)
        else:
            self.unsubscribe_from_frames()
            self.frames.clear()

    def stop(self) -> None:
        """Unsubscribe."""
        faces, self._faces = self._faces, None
        if faces is not None:
            self.destroy_subscription(faces)
        self.frames.clear()

    def results(self, item: FaceArray) -> Iterator[tuple[Publisher, Any]]:
        """Estimate the expression of every face."""
        stamp_s = stamp_to_ns(item.header.stamp) * 1e-9
        self._forget(stamp_s)
        self._face_count = len(item.faces)
        if not item.faces:
            return
        loaded = self.loaded
        assert loaded is not None
        if loaded.network is None:
            estimates: Sequence[EmotionEstimate] | None = [
                self._read_landmarks(face, stamp_s) for face in item.faces
            ]
        else:
            estimates = self._look(loaded.network, item, stamp_s)
        if estimates is None:
            return
        for face, estimate in zip(item.faces, estimates):
            result = self._finish(face, estimate, stamp_s)
            yield self._publisher, emotion_to_message(result, face)

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what estimates, why nothing better does, and the faces of the last image."""
        loaded = self.loaded
        faces = ('faces', self._face_count)
        if loaded is None:
            return (faces,)
        if loaded.network is None:
            return (
                faces,
                ('emotion backend', GEOMETRY),
                ('emotion skipped', loaded.why_geometry),
            )
        return (
            faces,
            ('emotion backend', loaded.selections[0].backend),
            ('model', loaded.network.model),
            ('faces without their image', self._without_image),
        )

    def _look(
        self, network: EmoNet, item: FaceArray, stamp_s: float
    ) -> Sequence[EmotionEstimate] | None:
        """Run the network on all faces of an image; None where it is not this image's turn."""
        if not self._limit.is_due(stamp_s):
            return None
        frame = self.frames.get(stamp_to_ns(item.header.stamp))
        if frame is None:
            self._without_image += 1
            return None
        self._limit.take(stamp_s, self.values['max_rate'])
        return network.run(frame.rgb(), [_region(face) for face in item.faces])

    def _read_landmarks(self, face: Face, stamp_s: float) -> EmotionEstimate:
        landmarks = landmarks_of(face)
        if landmarks is None:
            return EmotionEstimate.unknown(GEOMETRY)
        learner = self._person(face.face_id).neutral
        frontal = frontalise(landmarks)
        learner.update_face(stamp_s, frontal)
        return self._geometry.estimate_face(frontal, learner.neutral)

    def _finish(self, face: Face, estimate: EmotionEstimate, stamp_s: float) -> EmotionEstimate:
        """Smooth an estimate, and withhold what should not be claimed."""
        person = self._person(face.face_id)
        person.last_stamp_s = stamp_s
        if face.width < self.values['min_face_size']:
            estimate = EmotionEstimate.unknown(estimate.backend, estimate.model)
        estimate = person.smoother.update(stamp_s, estimate)
        if estimate.confidence < self.values['min_confidence']:
            estimate = replace(estimate, expression=UNKNOWN)
        return estimate

    def _person(self, face_id: str) -> _Person:
        person = self._people.get(face_id)
        if person is None:
            person = self._people[face_id] = _Person(EmotionSmoother(self.values['smoothing']))
        return person

    def _forget(self, stamp_s: float) -> None:
        """Drop those who left, and everybody when time went backwards."""
        if stamp_s < self._last_stamp_s:
            self._limit.reset()
        self._last_stamp_s = stamp_s
        forget_after_s = self.values['forget_after']
        self._people = {
            face_id: person
            for face_id, person in self._people.items()
            if 0.0 <= stamp_s - person.last_stamp_s <= forget_after_s
        }


def _region(face: Face) -> _Region:
    box = np.array((face.x, face.y, face.width, face.height), np.float32)
    return _Region(box, landmarks_of(face))


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [EmotionNode()], args)


if __name__ == '__main__':
    main()
