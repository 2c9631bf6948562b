# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""All that is seen in an image: the observers together, as tools run them on one stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.selection import Selection, close_all
from aitable_ros.perception.attention.observer import AttentionObserver, AttentionReading
from aitable_ros.perception.emotion.observer import EmotionObserver, EmotionReading
from aitable_ros.perception.faces.observer import FaceObserver, SeenFaces
from aitable_ros.perception.fatigue.observer import FatigueObserver, FatigueReading
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.perception.posture.observer import PostureObserver, PostureReading


@dataclass(frozen=True, eq=False)
class Observation:
    """
    What was seen in one image.

    :param seen: the faces.
    :param fatigue: of each face, in their order.
    :param attention: of each face, in their order.
    :param emotion: of each face; empty where it was not this image's turn.
    :param posture: of the person; None where it was not this image's turn, or is not measured.
    """

    seen: SeenFaces
    fatigue: Sequence[FatigueReading]
    attention: Sequence[AttentionReading]
    emotion: Sequence[EmotionReading]
    posture: PostureReading | None

    def emotion_of(self, face_id: str) -> EmotionReading | None:
        """Return the reading of a face, if there is one."""
        return next((one for one in self.emotion if one.face.face_id == face_id), None)


@dataclass(frozen=True, eq=False)
class Observers:
    """
    The observers of one stream. Use and close them in the thread that loaded them.

    :param faces: finds them.
    :param fatigue: measures them.
    :param attention: where they look.
    :param emotion: reads them.
    :param posture: measures the body; None: nobody asked for it.
    """

    faces: FaceObserver
    fatigue: FatigueObserver
    attention: AttentionObserver
    emotion: EmotionObserver
    posture: PostureObserver | None = None

    def observe(
        self,
        image: npt.NDArray[np.uint8],
        stamp_s: float,
        intrinsics: CameraIntrinsics | None = None,
        frame_id: str = '',
    ) -> Observation | None:
        """
        Look at the stream's next image.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: its header time [s].
        :param intrinsics: the camera's calibration, if there is one for this size.
        :param frame_id: which camera took it.
        :returns: None: it is left out, being of another camera than the stream's.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        :raises InferenceError: when an engine fails.
        """
        seen = self.faces.observe(image, stamp_s, frame_id)
        if seen is None:
            return None
        posture = None
        if self.posture is not None:
            posture = self.posture.observe(
                image, stamp_s, seen, frame_id=frame_id, intrinsics=intrinsics
            )
        fatigue = self.fatigue.observe(seen, intrinsics)
        return Observation(
            seen,
            fatigue,
            self.attention.observe(seen, _poses(fatigue)),
            self.emotion.observe(seen, lambda: image),
            posture,
        )

    def observe_still(self, image: npt.NDArray[np.uint8]) -> Observation:
        """
        Look at a picture that belongs to no stream: nothing is known of before.

        :param image: (H, W, 3) uint8 RGB.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when an engine fails.
        """
        seen = self.faces.observe_still(image)
        fatigue = self.fatigue.observe_still(seen)
        return Observation(
            seen,
            fatigue,
            self.attention.observe_still(seen, _poses(fatigue)),
            self.emotion.observe_still(seen, image),
            None if self.posture is None else self.posture.observe_still(image, seen),
        )

    def reset(self) -> None:
        """Forget everybody: another stream begins."""
        for observer in (
            *(self.faces, self.fatigue, self.attention, self.emotion),
            self.posture,
        ):
            if observer is not None:
                observer.reset()

    @property
    def selections(self) -> Sequence[Selection]:
        """The networks that run."""
        observers = (self.faces, self.emotion, self.posture)
        return [
            one for observer in observers if observer is not None for one in observer.selections
        ]

    def close(self) -> None:
        """Free the networks."""
        close_all(self.selections)


def _poses(readings: Sequence[FatigueReading]) -> dict[str, HeadPose]:
    return {one.face.face_id: one.pose for one in readings if one.pose is not None}
