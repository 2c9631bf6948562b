# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which network gives the body keypoints: BlazePose, or a YOLO-pose file of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import (
    AUTO,
    BACKENDS,
    Selection,
    close_all,
    describe,
    load_engine,
)
from aitable_ros.perception.posture.blazepose import BodyDetector, BodyLandmarker
from aitable_ros.perception.posture.body_keypoints import BodyKeypoints
from aitable_ros.perception.posture.body_pipeline import BodyPipeline
from aitable_ros.perception.posture.yolo_pose import YoloPose

BLAZEPOSE = 'blazepose'
YOLO = 'yolo'
NETWORKS = (BLAZEPOSE, YOLO)

BLAZEPOSE_MODELS = ('pose_detection', 'pose_landmark')
"""BlazePose's networks, as the catalog names them."""

YOLO_NAME = 'yolo_pose'
"""Name of the user's own file in the engines folder, without its ending."""

_YOLO_CHAIN = ('tensorrt', 'onnxruntime')


class BodyEstimator(Protocol):
    """What follows one person in an image stream."""

    def process(self, image: npt.NDArray[np.uint8], stamp_s: float) -> BodyKeypoints | None:
        """Find or follow the person in the stream's next image; None when there is nobody."""

    def process_still(self, image: npt.NDArray[np.uint8]) -> BodyKeypoints | None:
        """Find a person in one picture that belongs to no stream."""

    def reset(self) -> None:
        """Forget the person: the stream begins anew."""


@dataclass(frozen=True, eq=False)
class BodySource:
    """
    A loaded source of body keypoints. Use and close it in the thread that loaded it.

    :param estimator: finds the person; see :meth:`BodyEstimator.process`.
    :param selections: the networks behind it.
    """

    estimator: BodyEstimator
    selections: tuple[Selection, ...]

    @property
    def backend(self) -> str:
        """For messages, as ``pose_detection: litert, pose_landmark: onnxruntime``."""
        return describe(self.selections)

    def close(self) -> None:
        """Free the networks."""
        close_all(self.selections)


def load_body_source(
    load: Callable[[Sequence[str]], Sequence[Selection]],
    network: str = BLAZEPOSE,
    *,
    model: Path | str = '',
    backend: str = AUTO,
    engines_dir: Path,
    threads: int = 1,
) -> BodySource:
    """
    Load what gives the body keypoints, in the thread that will use it.

    :param load: loads networks of the catalog, all that are named, or raises InferenceError and
        leaves none open; called for BlazePose alone. The others are for YOLO alone.
    :param network: one of :data:`NETWORKS`.
    :param model: the YOLO-pose file, ``.onnx`` or ``.engine``; empty: ``yolo_pose.engine`` or
        ``yolo_pose.onnx`` in the engines folder.
    :param backend: ``auto``, or the one that runs it.
    :param engines_dir: folder of the model files.
    :param threads: threads for backends on the CPU.
    :returns: the source; the caller closes it.
    :raises InferenceError: when it does not load; it says why. Nothing takes its place.
    """
    selections = (
        (_load_yolo(str(model), backend, engines_dir, threads),)
        if network == YOLO
        else tuple(load(BLAZEPOSE_MODELS))
    )
    try:
        return BodySource(_estimator(network, selections), selections)
    except BaseException:
        close_all(selections)
        raise


def _estimator(network: str, selections: Sequence[Selection]) -> BodyEstimator:
    engines = [selection.engine for selection in selections]
    if network == YOLO:
        return YoloPose(engines[0])
    return BodyPipeline(BodyDetector(engines[0]), BodyLandmarker(engines[1]))


def _load_yolo(model: str, backend: str, folder: Path, threads: int) -> Selection:
    """Load the user's own file: the one that is named, or the one in the engines folder."""
    name = YOLO_NAME
    chain: tuple[str, ...] = _YOLO_CHAIN
    if model:
        path = Path(model).expanduser()
        chain = tuple(other for other in _YOLO_CHAIN if BACKENDS[other].suffix == path.suffix)
        if not chain:
            raise InferenceError(f'model {path}: expected an .engine or an .onnx file')
        if not path.is_file():
            raise InferenceError(f'model {path} is missing')
        folder, name = path.parent, path.stem
    if backend not in (AUTO, *chain):
        raise InferenceError(f'{name} cannot run on {backend}: it is for {" or ".join(chain)}')
    spec = ModelSpec(name=name, inputs=(), outputs=(), chain=chain, required=False)
    return load_engine(spec, backend, engines_dir=folder, threads=threads)
