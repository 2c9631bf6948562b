# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""MediaPipe's own pose solution, where it is installed: the last resort for body keypoints."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.analysis.body_keypoints import KEYPOINT_COUNT, BodyKeypoint, BodyKeypoints
from aitable_ros.inference.engine import InferenceError
from aitable_ros.perception.checks import check_image
from aitable_ros.perception.image_stream import ImageStream

BACKEND = 'mediapipe'
"""Its name in parameters and messages."""

_SURE_POINTS = [BodyKeypoint.NOSE, BodyKeypoint.LEFT_SHOULDER, BodyKeypoint.RIGHT_SHOULDER]


class MediapipePose:
    """
    Follow one person in an image stream with ``mediapipe.solutions.pose`` (BlazePose full).

    The same networks and steps as :class:`~aitable_ros.perception.body_pose.BodyPipeline`. It says
    neither how sure it is nor what of the picture a keypoint lies in: the score is the mean
    visibility of nose and shoulders, but at least the presence that it demands.

    :param min_detection: detections below are dropped, 0..1.
    :param min_presence: keypoints with a lower presence are not a person, 0..1.
    :raises ValueError: for a setting out of range.
    :raises InferenceError: when MediaPipe is not installed, or is a version without solutions.
    """

    def __init__(self, *, min_detection: float = 0.5, min_presence: float = 0.5) -> None:
        for name, value in (('min_detection', min_detection), ('min_presence', min_presence)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f'{name}: expected 0..1, got {value}')
        self._settings = {
            'model_complexity': 1,
            'smooth_landmarks': False,
            'min_detection_confidence': min_detection,
            'min_tracking_confidence': min_presence,
        }
        self._min_presence = min_presence
        self._solution = _solution()
        self._pose: Any = self._make(static_image_mode=False)
        self._stream = ImageStream()

    def reset(self) -> None:
        """Forget the person: the stream begins anew."""
        self._run(self._pose.reset)
        self._stream = ImageStream()

    def process(self, image: npt.NDArray[np.uint8], stamp_s: float) -> BodyKeypoints | None:
        """
        Find or follow the person in the stream's next image.

        An image of another size than the one before, or an earlier one, begins a new stream.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: header time of the image [s].
        :returns: None when there is nobody.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        :raises InferenceError: when MediaPipe fails, or after :meth:`close`.
        """
        continues = self._stream.continues(image, stamp_s)
        if self._pose is None:
            raise InferenceError(f'{BACKEND}: used after close()')
        if not continues:
            self.reset()
        self._stream.advance(image, stamp_s)
        return self._keypoints(self._pose, image)

    def process_still(self, image: npt.NDArray[np.uint8]) -> BodyKeypoints | None:
        """
        Find a person in one picture that belongs to no stream.

        Leaves what :meth:`process` remembers untouched; makes a solution of its own each time.

        :param image: (H, W, 3) uint8 RGB.
        :returns: None when there is nobody.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when MediaPipe fails.
        """
        check_image(image)
        pose = self._make(static_image_mode=True)
        try:
            return self._keypoints(pose, image)
        finally:
            self._run(pose.close)

    def close(self) -> None:
        """Free the solution; calling it again does nothing."""
        pose, self._pose = self._pose, None
        if pose is not None:
            self._run(pose.close)

    def _make(self, *, static_image_mode: bool) -> Any:
        return self._run(
            lambda: self._solution(static_image_mode=static_image_mode, **self._settings)
        )

    @staticmethod
    def _run(call: Any, *arguments: Any) -> Any:
        try:
            with warnings.catch_warnings():
                # its protobuf code tells of its own deprecations with every message
                warnings.simplefilter('ignore')
                return call(*arguments)
        except Exception as error:  # what MediaPipe raises has no common base
            raise InferenceError(f'{BACKEND}: {" ".join(str(error).split())}') from error

    def _keypoints(self, pose: Any, image: npt.NDArray[np.uint8]) -> BodyKeypoints | None:
        result = self._run(pose.process, np.ascontiguousarray(image))
        if not result.pose_landmarks:
            return None
        height, width = image.shape[:2]
        return keypoints_from_landmarks(
            result.pose_landmarks.landmark,
            result.pose_world_landmarks.landmark,
            (width, height),
            self._min_presence,
        )


def keypoints_from_landmarks(
    landmarks: Sequence[Any],
    world: Sequence[Any],
    size_px: tuple[int, int],
    min_presence: float,
) -> BodyKeypoints | None:
    """
    Read MediaPipe's landmark messages.

    :param landmarks: 33 with x, y as parts of the image's width and height, and visibility.
    :param world: 33 with x, y, z [m].
    :param size_px: width and height of the image.
    :param min_presence: the presence that MediaPipe demanded.
    :returns: None when they are not 33 or not finite.
    """
    if len(landmarks) != KEYPOINT_COUNT or len(world) != KEYPOINT_COUNT:
        return None
    xy_px = np.array([(p.x, p.y) for p in landmarks], dtype=np.float32)
    xy_px *= np.array(size_px, dtype=np.float32)
    visibility = np.array([p.visibility for p in landmarks], dtype=np.float32)
    world_m = np.array([(p.x, p.y, p.z) for p in world], dtype=np.float32)
    if not all(np.isfinite(array).all() for array in (xy_px, visibility, world_m)):
        return None
    width, height = size_px
    inside = ((xy_px >= 0.0) & (xy_px <= (width - 1, height - 1))).all(axis=1)
    score = max(min_presence, float(visibility[_SURE_POINTS].mean()))
    return BodyKeypoints(
        xy_px, np.clip(visibility, 0.0, 1.0) * inside.astype(np.float32), min(score, 1.0), world_m
    )


def _solution() -> Any:
    try:
        module = importlib.import_module('mediapipe')
    except ImportError as error:
        raise InferenceError(
            f'{BACKEND}: cannot be imported: {error} (pip install mediapipe==0.10.21, in an'
            ' environment with NumPy 1)'
        ) from error
    # later versions have no solutions, and do not bring the networks
    solution = getattr(getattr(getattr(module, 'solutions', None), 'pose', None), 'Pose', None)
    if solution is None:
        version = getattr(module, '__version__', 'of unknown version')
        raise InferenceError(
            f'{BACKEND}: {version} has no solutions.pose; 0.10.21 is the last that does'
        )
    return solution
