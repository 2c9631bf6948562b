# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Loading what finds body keypoints, as a node's parameters say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rclpy.impl.rcutils_logger import RcutilsLogger

from aitable_ros.analysis.body_keypoints import BodyKeypoints
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import AUTO, BACKENDS, Selection, load_engine
from aitable_ros.paths import engines_dir
from aitable_ros.perception.body_pose import BodyDetector, BodyLandmarker, BodyPipeline
from aitable_ros.perception.mediapipe_pose import BACKEND as MEDIAPIPE
from aitable_ros.perception.mediapipe_pose import MediapipePose
from aitable_ros.perception.yolo_pose import YoloPose
from aitable_ros.ros_support.models import close_models, loading_models

BLAZEPOSE = 'blazepose'
YOLO = 'yolo'

YOLO_NAME = 'yolo_pose'
"""Name of the user's own file in the engines folder, without its ending."""

_YOLO_CHAIN = ('tensorrt', 'onnxruntime')


class BodySource(Protocol):
    """What finds the body keypoints of one person in an image stream."""

    def process(self, image: npt.NDArray[np.uint8], stamp_s: float) -> BodyKeypoints | None:
        """Find the person; None: there is nobody."""

    def reset(self) -> None:
        """Forget the person."""


@dataclass(frozen=True, eq=False)
class BodyNetwork:
    """
    What was loaded.

    :param source: finds the keypoints.
    :param selections: the engines behind it; none for MediaPipe's own solution.
    :param backend: what runs, for messages.
    :param skipped: why nothing better does, in words.
    """

    source: BodySource
    selections: tuple[Selection, ...] = ()
    backend: str = ''
    skipped: str = ''

    def close(self) -> None:
        """Free it, in the thread that loaded it."""
        close_models(self.selections)
        if isinstance(self.source, MediapipePose):
            self.source.close()


def load_body_network(values: Mapping[str, Any], logger: RcutilsLogger) -> BodyNetwork:
    """
    Load it; call it in the thread that will use it.

    :param values: the node's ``network``, ``model``, ``backend`` and those of
        :func:`~aitable_ros.ros_support.models.load_models`.
    :param logger: told what runs instead of what was wanted.
    :raises InferenceError: when nothing can be loaded; the message says why.
    """
    if values['network'] == YOLO:
        return _load_yolo(values)
    if values['backend'] == MEDIAPIPE:
        return BodyNetwork(MediapipePose(), backend=f'pose: {MEDIAPIPE}')
    try:
        with loading_models(('pose_detection', 'pose_landmark'), values, logger) as selections:
            detection, landmark = selections
            source = BodyPipeline(BodyDetector(detection.engine), BodyLandmarker(landmark.engine))
            return BodyNetwork(source, selections, _described(selections))
    except InferenceError as error:
        if values['backend'] != AUTO:
            raise
        try:
            own = MediapipePose()
        except InferenceError as missing:
            raise InferenceError(f'{error}; {missing}') from error
        logger.warning(f"posture runs on MediaPipe's own solution; skipped: {error}")
        return BodyNetwork(own, backend=f'pose: {MEDIAPIPE}', skipped=str(error))


def _load_yolo(values: Mapping[str, Any]) -> BodyNetwork:
    """Load the user's own file: the one that is named, or the one in the engines folder."""
    folder, name = engines_dir(values['engines_dir'] or None), YOLO_NAME
    chain: tuple[str, ...] = _YOLO_CHAIN
    backend = values['backend']
    if values['model']:
        path = Path(values['model']).expanduser()
        chain = tuple(other for other in _YOLO_CHAIN if BACKENDS[other].suffix == path.suffix)
        if not chain:
            raise InferenceError(f'model {path}: expected an .engine or an .onnx file')
        if not path.is_file():
            raise InferenceError(f'model {path} is missing')
        folder, name = path.parent, path.stem
    if backend != AUTO and backend not in chain:
        raise InferenceError(f'{name} cannot run on {backend}: it is for {" or ".join(chain)}')
    spec = ModelSpec(name=name, inputs=(), outputs=(), chain=chain, required=False)
    selection = load_engine(spec, backend, engines_dir=folder, threads=values['threads'])
    try:
        source = YoloPose(selection.engine)
    except BaseException:
        selection.engine.close()
        raise
    return BodyNetwork(source, (selection,), _described((selection,)))


def _described(selections: tuple[Selection, ...]) -> str:
    return ', '.join(f'{one.engine.name}: {one.backend}' for one in selections)
