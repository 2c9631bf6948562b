# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that measures the signs of fatigue of every face."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from aitable_msgs.msg import Face, FaceArray, Fatigue
from aitable_ros.analysis.blinks import BlinkSettings
from aitable_ros.analysis.eye_baseline import BaselineSettings
from aitable_ros.analysis.eye_openness import (
    EyeAspectRatios,
    eye_aspect_ratios,
    mouth_aspect_ratio,
)
from aitable_ros.analysis.fatigue_monitor import FatigueMonitor, FatigueSettings
from aitable_ros.analysis.perclos import PerclosSettings
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import AUTO, Selection
from aitable_ros.perception.eye_contours import EyeContours
from aitable_ros.ros_support.executor import spin
from aitable_ros.ros_support.frame_buffer import FrameBuffer
from aitable_ros.ros_support.frame_hub import stamp_to_ns
from aitable_ros.ros_support.managed_node import ManagedNode
from aitable_ros.ros_support.message_conversion import fatigue_to_message, landmarks_of
from aitable_ros.ros_support.models import load_models
from aitable_ros.ros_support.parameters import (
    BACKEND_PARAMETERS,
    IMAGE_PARAMETERS,
    ParameterSpec,
    backend_parameter,
)

LEFT_EYE = slice(2 * Face.KEYPOINT_LEFT_EYE, 2 * Face.KEYPOINT_LEFT_EYE + 2)
RIGHT_EYE = slice(2 * Face.KEYPOINT_RIGHT_EYE, 2 * Face.KEYPOINT_RIGHT_EYE + 2)


class FatigueNode(ManagedNode):
    """
    Publishes ``fatigue`` (aitable_msgs/Fatigue), one message per face of ``faces``.

    Every face id has its own state; time is header time throughout.
    """

    # every sample counts in a time series: let a few wait rather than lose a blink
    QUEUE_DEPTH: ClassVar[int] = 10

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *IMAGE_PARAMETERS,
        ParameterSpec(
            'refine_eyes',
            True,
            'measure the eyelids with a network that sees them (iris_landmark); without it they '
            'come from FaceMesh, which hardly sees them close',
        ),
        backend_parameter('iris_landmark'),
        *BACKEND_PARAMETERS,
        ParameterSpec(
            'min_presence',
            0.5,
            'below this presence of the landmarks the eyes are UNKNOWN, 0..1',
            minimum=0.0,
            maximum=1.0,
            dynamic=True,
        ),
        ParameterSpec(
            'min_eye_distance',
            20.0,
            'with fewer pixels between the eyes they are UNKNOWN [pixels]',
            minimum=0.0,
            maximum=1000.0,
            dynamic=True,
        ),
        ParameterSpec(
            'forget_after',
            30.0,
            'a face that was not seen for this long loses its state [s]',
            minimum=0.0,
            maximum=3600.0,
            dynamic=True,
        ),
        ParameterSpec(
            'max_gap',
            0.5,
            'longest time for which one sample may stand; longer gaps are UNKNOWN [s]',
            minimum=0.05,
            maximum=5.0,
        ),
        ParameterSpec(
            'baseline.percentile',
            90.0,
            "the person's open-eye EAR is this percentile of the EARs seen [%]",
            minimum=50.0,
            maximum=100.0,
        ),
        ParameterSpec(
            'baseline.memory',
            120.0,
            'time constant with which old EARs fade from the baseline [s]',
            minimum=1.0,
            maximum=3600.0,
        ),
        ParameterSpec(
            'baseline.min_observed',
            2.0,
            'observed time before the baseline is trusted [s]',
            minimum=0.1,
            maximum=600.0,
        ),
        ParameterSpec(
            'baseline.closed_ratio',
            0.28,
            'EAR of a closed eye as a share of the open one, with refine_eyes, 0..1 (0.28: median '
            'of photographs)',
            minimum=0.0,
            maximum=0.9,
        ),
        ParameterSpec(
            'baseline.closed_ratio_unrefined',
            0.62,
            'the same for the landmarks of FaceMesh, 0..1 (0.62: median of photographs)',
            minimum=0.0,
            maximum=0.9,
        ),
        ParameterSpec(
            'eyes.close_openness',
            0.2,
            'an eye closes at or below this openness, 0..1 (0.2: P80, Wierwille 1994)',
            minimum=0.0,
            maximum=1.0,
        ),
        ParameterSpec(
            'eyes.reopen_openness',
            0.4,
            'and opens again at or above this one, 0..1',
            minimum=0.0,
            maximum=1.0,
        ),
        ParameterSpec(
            'eyes.max_blink',
            0.5,
            'longer closures are no blinks [s]',
            minimum=0.1,
            maximum=2.0,
        ),
        ParameterSpec(
            'perclos.window',
            60.0,
            'length of the PERCLOS window [s]',
            minimum=1.0,
            maximum=3600.0,
        ),
        ParameterSpec(
            'perclos.min_observed',
            10.0,
            'PERCLOS is not valid before this much of the window was observed [s]',
            minimum=0.1,
            maximum=3600.0,
        ),
        ParameterSpec(
            'perclos.min_coverage',
            0.5,
            'PERCLOS is not valid while less than this share of the window was observed, 0..1',
            minimum=0.0,
            maximum=1.0,
        ),
    )

    def __init__(self, name: str = 'fatigue', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._publisher = self.create_publisher(Fatigue, 'fatigue', 10)
        self._settings = FatigueSettings()
        self._monitors: dict[str, FatigueMonitor] = {}
        self._last_stamp_s = math.nan
        self._faces: Any = None
        self._buffer = FrameBuffer()
        self._eyes: EyeContours | None = None
        self._selections: tuple[Selection, ...] = ()
        self._unrefined = ''
        self._without_image = 0

    def load(self) -> None:
        """Load the network; read the thresholds, which are checked together here."""
        values = self.params.values()
        self._load_eyes(values)
        closed_ratio = 'baseline.closed_ratio' + ('' if self._eyes else '_unrefined')
        self._settings = FatigueSettings(
            baseline=BaselineSettings(
                percentile=values['baseline.percentile'],
                memory_s=values['baseline.memory'],
                min_observed_s=values['baseline.min_observed'],
                closed_ratio=values[closed_ratio],
                max_gap_s=values['max_gap'],
            ),
            blinks=BlinkSettings(
                close_openness=values['eyes.close_openness'],
                reopen_openness=values['eyes.reopen_openness'],
                max_blink_s=values['eyes.max_blink'],
                max_gap_s=values['max_gap'],
                window_s=values['perclos.window'],
            ),
            perclos=PerclosSettings(
                window_s=values['perclos.window'],
                max_gap_s=values['max_gap'],
                min_observed_s=values['perclos.min_observed'],
                min_coverage=values['perclos.min_coverage'],
            ),
        )
        self._monitors = {}
        self._last_stamp_s = math.nan

    def unload(self) -> None:
        """Forget everybody and close the network."""
        self._monitors = {}
        self._eyes = None
        for selection in self._selections:
            selection.engine.close()
        self._selections = ()

    def start(self) -> None:
        """Subscribe to the faces, and to the images if the eyes are refined."""
        if self._eyes is not None:
            self.subscribe_to_frames(self._buffer.add)
        self._faces = self.create_subscription(FaceArray, 'faces', self.offer, 10)

    def stop(self) -> None:
        """Unsubscribe."""
        faces, self._faces = self._faces, None
        if faces is not None:
            self.destroy_subscription(faces)
        self._buffer.clear()

    def process(self, item: FaceArray) -> None:
        """Update and publish the state of every face."""
        stamp_s = stamp_to_ns(item.header.stamp) * 1e-9
        if stamp_s < self._last_stamp_s:
            self.get_logger().info('time went backwards: everybody starts anew')
            self._monitors = {}
        self._last_stamp_s = stamp_s
        for face, message in zip(item.faces, self._measure(item, stamp_s)):
            self._publisher.publish(message)
            self.note_published(face.header.stamp)
        forget_after_s = self.params['forget_after']
        self._monitors = {
            face_id: monitor
            for face_id, monitor in self._monitors.items()
            if stamp_s - monitor.last_stamp_s <= forget_after_s
        }

    def selections(self) -> Sequence[Selection]:
        """Give the network that sees the eyelids, if there is one."""
        return self._selections

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add what measures the eyes, and of how many people the state is kept."""
        return (
            ('eyes', 'face_mesh: ' + self._unrefined if self._unrefined else 'iris_landmark'),
            ('people', len(self._monitors)),
            ('faces without their image', self._without_image),
        )

    def _load_eyes(self, values: Mapping[str, Any]) -> None:
        self._eyes = None
        self._unrefined = ''
        if not values['refine_eyes']:
            self._unrefined = 'refine_eyes is false'
            return
        try:
            self._selections = load_models(('iris_landmark',), values, self.get_logger())
        except InferenceError as error:
            if values['backend'] != AUTO:
                raise
            self._unrefined = str(error)
            self.get_logger().warning(f'eyes are measured by FaceMesh alone: {error}')
            return
        self._eyes = EyeContours(self._selections[0].engine)

    def _measure(self, item: FaceArray, stamp_s: float) -> list[Fatigue]:
        """Measure all faces of an image; their eyes go through the network in one batch."""
        landmarks: list[Any] = [landmarks_of(face) for face in item.faces]
        visibilities = [self._visibility(*pair) for pair in zip(item.faces, landmarks)]
        measured = [i for i, v in enumerate(visibilities) if v == Fatigue.MEASURED]
        ears = [EyeAspectRatios(math.nan, math.nan)] * len(item.faces)
        if self._eyes is None:
            for i in measured:
                ears[i] = eye_aspect_ratios(landmarks[i])
        elif measured:
            frame = self._buffer.get(stamp_to_ns(item.header.stamp))
            if frame is None:
                self._without_image += 1
                for i in measured:
                    visibilities[i] = Fatigue.NO_IMAGE
            else:
                refined = self._eyes.run(frame.rgb(), [landmarks[i] for i in measured])
                for i, pair in zip(measured, refined):
                    ears[i] = pair
        messages = []
        for face, points, visibility, pair in zip(item.faces, landmarks, visibilities, ears):
            monitor = self._monitors.get(face.face_id)
            if monitor is None:
                monitor = self._monitors[face.face_id] = FatigueMonitor(self._settings)
            message = fatigue_to_message(
                monitor.update(stamp_s, pair.left, pair.right),
                face,
                visibility=visibility,
                left_ear=pair.left,
                right_ear=pair.right,
                mar=math.nan if points is None else mouth_aspect_ratio(points),
            )
            message.backend = ', '.join(
                [face.backend, *(f'{s.engine.name}: {s.backend}' for s in self._selections)]
            )
            messages.append(message)
        return messages

    def _visibility(self, face: Face, landmarks: Any) -> int:
        if landmarks is None or not np.isfinite(landmarks).all():
            return int(Fatigue.NO_FACE)
        if not face.presence >= self.params['min_presence']:
            return int(Fatigue.LOW_PRESENCE)
        eyes = face.keypoints[LEFT_EYE] - face.keypoints[RIGHT_EYE]
        if not np.hypot(*eyes) >= self.params['min_eye_distance']:
            return int(Fatigue.TOO_SMALL)
        return int(Fatigue.MEASURED)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [FatigueNode()], args)


if __name__ == '__main__':
    main()
