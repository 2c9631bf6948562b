# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which network gives the body keypoints: BlazePose, a user's YOLO-pose file, or MediaPipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aitable_ros.analysis.body_keypoints import BodyKeypoints
from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import (
    AUTO,
    BACKENDS,
    NoBackendError,
    Selection,
    Skipped,
    load_engine,
)
from aitable_ros.perception.body_pose import (
    BodyDetector,
    BodyLandmarker,
    BodyPipeline,
    BodySettings,
)
from aitable_ros.perception.mediapipe_pose import BACKEND as MEDIAPIPE
from aitable_ros.perception.mediapipe_pose import MediapipePose
from aitable_ros.perception.yolo_pose import YoloPose, YoloSettings

MODELS = ('pose_detection', 'pose_landmark')
"""BlazePose's networks, as the catalog names them."""

USER_BACKENDS = ('onnxruntime', 'tensorrt')
"""Backends that run a file which the user brings, each by the ending of its files."""


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
    :param backend: for messages, as ``pose_detection: litert, pose_landmark: onnxruntime``.
    :param explanation: lines that say what runs from which file, and why what comes earlier in
        the chain does not.
    :param closers: what frees it.
    """

    estimator: BodyEstimator
    backend: str
    explanation: tuple[str, ...]
    closers: tuple[Callable[[], None], ...]

    def close(self) -> None:
        """Free the networks."""
        for close in self.closers:
            close()


def load_body_source(
    catalog: Mapping[str, ModelSpec],
    backend: str = AUTO,
    *,
    engines_dir: Path,
    threads: int = 1,
    model_file: Path | None = None,
    min_detection: float = 0.5,
    settings: BodySettings | None = None,
    fetch: Callable[[Sequence[str]], object] | None = None,
) -> BodySource:
    """
    Load what gives the body keypoints, in the thread that will use it.

    ``auto`` takes BlazePose's two networks, each on the first backend of its chain that loads, and
    MediaPipe's own solution where that fails.

    :param catalog: has :data:`MODELS`.
    :param backend: ``auto``, a backend of the networks, or ``mediapipe``: that one or an error.
    :param engines_dir: folder of the model files.
    :param threads: threads for backends on the CPU.
    :param model_file: a YOLO-pose file to use instead, ``.onnx`` or ``.engine``; nothing takes its
        place when it does not load.
    :param min_detection: detections below are dropped, 0..1.
    :param settings: who is followed.
    :param fetch: called with :data:`MODELS` before they are loaded, to bring what is missing; an
        exception from it is a reason to go on to the next of the chain.
    :returns: the source; the caller closes it.
    :raises InferenceError: when nothing loads, or what was named does not; it says why.
    :raises ValueError: for a setting out of range.
    """
    settings = settings if settings is not None else BodySettings()
    if model_file is not None:
        return _load_user_file(
            Path(model_file), backend, threads, min_detection=min_detection, settings=settings
        )
    if backend == MEDIAPIPE:
        return _load_mediapipe((), min_detection=min_detection, settings=settings)
    try:
        return _load_blazepose(
            catalog,
            backend,
            engines_dir,
            threads,
            fetch,
            min_detection=min_detection,
            settings=settings,
        )
    except InferenceError as error:
        if backend != AUTO:
            raise
        reason = str(error)
    try:
        return _load_mediapipe((reason,), min_detection=min_detection, settings=settings)
    except InferenceError as error:
        skipped = Skipped(MEDIAPIPE, str(error).removeprefix(f'{MEDIAPIPE}: '))
        raise NoBackendError(f'{reason}; {skipped}') from error


def _load_blazepose(
    catalog: Mapping[str, ModelSpec],
    backend: str,
    engines_dir: Path,
    threads: int,
    fetch: Callable[[Sequence[str]], object] | None,
    *,
    min_detection: float,
    settings: BodySettings,
) -> BodySource:
    failed = ''
    if fetch is not None:
        try:
            fetch(MODELS)
        except Exception as error:  # the files may be there all the same, or an engine be enough
            failed = f' (fetching failed: {" ".join(str(error).split())})'
    selections: list[Selection] = []
    try:
        for name in MODELS:
            selections.append(
                load_engine(catalog[name], backend, engines_dir=engines_dir, threads=threads)
            )
        detector = BodyDetector(selections[0].engine, min_score=min_detection)
        pipeline = BodyPipeline(detector, BodyLandmarker(selections[1].engine), settings)
    except BaseException as error:
        for selection in selections:
            selection.engine.close()
        if failed and isinstance(error, InferenceError):
            raise InferenceError(f'{error}{failed}') from error
        raise
    return BodySource(
        pipeline,
        ', '.join(f'{selection.engine.name}: {selection.backend}' for selection in selections),
        tuple(selection.explain() for selection in selections),
        tuple(selection.engine.close for selection in selections),
    )


def _load_mediapipe(
    reasons: tuple[str, ...], *, min_detection: float, settings: BodySettings
) -> BodySource:
    pose = MediapipePose(min_detection=min_detection, min_presence=settings.min_presence)
    lines = (
        "the body's keypoints come from MediaPipe's own solution",
        *(f'skipped: {reason}' for reason in reasons),
    )
    return BodySource(pose, MEDIAPIPE, ('; '.join(lines),), (pose.close,))


def _load_user_file(
    path: Path, backend: str, threads: int, *, min_detection: float, settings: BodySettings
) -> BodySource:
    runs = {BACKENDS[name].suffix: name for name in USER_BACKENDS}
    own = runs.get(path.suffix)
    if own is None:
        raise InferenceError(
            f'{path}: cannot tell what runs this file; expected one that ends in'
            f' {" or ".join(runs)}'
        )
    if backend not in (AUTO, own):
        raise InferenceError(f'{path} runs on {own}, not on {backend}')
    if not path.is_file():
        raise InferenceError(f'{path}: no such file')
    spec = ModelSpec(path.stem, (), ())
    selection = load_engine(spec, own, engines_dir=path.parent, threads=threads)
    engine: Engine = selection.engine
    try:
        estimator = YoloPose(
            engine,
            YoloSettings(
                min_score=min_detection,
                switch_ratio=settings.switch_ratio,
                max_gap_s=settings.max_gap_s,
            ),
        )
    except BaseException:
        engine.close()
        raise
    form = estimator.format
    line = f'{selection.explain()}; YOLO-pose, {form.layout.value}, {form.width} x {form.height}'
    return BodySource(estimator, f'{engine.name}: {own}', (line,), (engine.close,))
