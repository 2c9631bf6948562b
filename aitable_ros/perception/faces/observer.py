# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Faces: an image and its stamp in, who is seen where out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import AUTO, Load, Selection, close_all, describe, opened
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.face_views import FaceViewer, ViewSettings
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline, PipelineSettings, TrackedFace
from aitable_ros.perception.faces.tracker import FaceTracker, TrackerSettings, run_prefix
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.seeing import Seeing, SeeingObserver, SeeingSettings
from aitable_ros.perception.images.stream_order import Source, StreamOrder

LIGHT_NETWORKS = ('face_detection', 'face_mesh')
NETWORKS = ('face_detection', 'face_attention')
"""With refined lids, lips and irises."""

Look = Callable[[], npt.NDArray[np.uint8] | None]
"""Gives the image in which faces were found, (H, W, 3) uint8 RGB; None: it is not at hand."""


@dataclass(frozen=True)
class FaceSettings:
    """
    What counts as a face, and how long it is remembered.

    :param min_score: detections below this score are ignored, 0..1.
    :param memory_s: a face that returns within this time near its last place keeps its id [s].
    :param pipeline: how faces are followed.
    :param views: from where on eyes and mouth are not seen.
    :param seeing: from where on an image or a face is badly seen.
    """

    min_score: float = 0.5
    memory_s: float = TrackerSettings.memory_s
    pipeline: PipelineSettings = PipelineSettings()  # noqa: RUF009 (frozen)
    views: ViewSettings = ViewSettings()  # noqa: RUF009 (frozen)
    seeing: SeeingSettings = SeeingSettings()  # noqa: RUF009 (frozen)


@dataclass(frozen=True, eq=False)
class SeenFaces:
    """
    The faces of one image.

    :param stamp_s: header time of the image [s].
    :param size_px: width and height of the image.
    :param faces: in the order in which they were first seen.
    :param backend: what ran, as ``face_detection: litert, face_attention: litert``.
    :param seeing: what can be seen in the image at all.
    """

    stamp_s: float
    size_px: tuple[int, int]
    faces: Sequence[TrackedFace]
    backend: str = ''
    seeing: Seeing = Seeing.CLEAR


class FaceObserver:
    """
    Finds the faces of an image stream and follows them.

    Not thread-safe; use and close it in the thread that loaded it.

    :param selections: the engines of :data:`NETWORKS` or :data:`LIGHT_NETWORKS`, in this order;
        the observer's own from now on.
    :param settings: thresholds.
    :param why_unrefined: why it is the light networks.
    :raises ValueError: for a setting out of range.
    """

    def __init__(
        self,
        selections: Sequence[Selection],
        settings: FaceSettings | None = None,
        *,
        why_unrefined: str = '',
    ) -> None:
        self.selections = tuple(selections)
        self.why_unrefined = why_unrefined
        self.backend = describe(selections)
        self.stream = StreamOrder()
        """Where the stream stands."""
        settings = settings or FaceSettings()
        self._pipeline = self._make(settings)
        self._viewer = FaceViewer(settings.views)
        self._seeing = SeeingObserver(settings.seeing)

    @classmethod
    def load(
        cls,
        load: Load,
        settings: FaceSettings | None = None,
        *,
        refine_eyes: bool = True,
        backend: str = AUTO,
    ) -> FaceObserver:
        """
        Load BlazeFace and the attention mesh, or say why FaceMesh has to do.

        :param load: loads networks of the catalog.
        :param refine_eyes: False: FaceMesh, which is faster but hardly sees lids close.
        :param backend: ``auto``: FaceMesh where the attention mesh does not load.
        :raises InferenceError: when one cannot be loaded.
        """
        why = '' if refine_eyes else 'refine_eyes is false'
        if not why:
            try:
                with opened(load, NETWORKS) as selections:
                    return cls(selections, settings)
            except InferenceError as error:
                if backend != AUTO:
                    raise
                why = str(error)
        with opened(load, LIGHT_NETWORKS) as selections:
            return cls(selections, settings, why_unrefined=why)

    def observe(
        self, image: npt.NDArray[np.uint8], stamp_s: float, frame_id: str = ''
    ) -> SeenFaces | None:
        """
        Find the faces in the stream's next image.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: its header time [s]; the faces of a late image are those of the stream.
        :param frame_id: which camera took it.
        :returns: None: it is left out, being of another camera than the stream's.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        :raises InferenceError: when an engine fails.
        """
        check_image(image)
        tracker = self._pipeline.tracker
        tracker.run = tracker.run or run_prefix(stamp_s)
        now_s = self.stream.advance(stamp_s, Source.of(image, frame_id))
        if now_s is None:
            return None
        if self.stream.anew:
            self._pipeline.reset()
            self._viewer.reset()
            self._seeing.reset()
        faces = self._pipeline.process(image, now_s)
        return self._seen(image, stamp_s, faces, self._viewer, self._seeing, now_s)

    def observe_still(self, image: npt.NDArray[np.uint8]) -> SeenFaces:
        """
        Find the faces of a picture that belongs to no stream, best detection first.

        :param image: (H, W, 3) uint8 RGB.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when an engine fails.
        """
        viewer = FaceViewer(self._viewer.settings)
        seeing = SeeingObserver(self._seeing.settings)
        faces = self._pipeline.process_still(image)
        return self._seen(image, 0.0, faces, viewer, seeing, math.nan)

    def adopt(self, settings: FaceSettings) -> None:
        """Take over other thresholds; faces keep their ids."""
        pipeline = self._make(settings)
        pipeline.continue_from(self._pipeline)
        self._pipeline = pipeline
        self._viewer.settings = settings.views
        self._seeing.settings = settings.seeing

    def continue_from(self, previous: FaceObserver) -> None:
        """Go on with the faces, and their ids, of an observer that is not used any more."""
        self._pipeline.continue_from(previous._pipeline)
        self.stream = previous.stream
        settings, self._viewer = self._viewer.settings, previous._viewer
        self._viewer.settings = settings
        conditions, self._seeing = self._seeing.settings, previous._seeing
        self._seeing.settings = conditions

    def close(self) -> None:
        """Free the networks."""
        close_all(self.selections)

    def reset(self) -> None:
        """Forget all faces; ids go on counting."""
        self._pipeline.reset()
        self.stream.reset()
        self._viewer.reset()
        self._seeing.reset()

    def _make(self, settings: FaceSettings) -> FacePipeline:
        detection, mesh = (selection.engine for selection in self.selections)
        return FacePipeline(
            FaceDetector(detection, min_score=settings.min_score),
            FaceMesh(mesh),
            FaceTracker(TrackerSettings(memory_s=settings.memory_s)),
            settings.pipeline,
        )

    def _seen(
        self,
        image: npt.NDArray[np.uint8],
        stamp_s: float,
        faces: Sequence[TrackedFace],
        viewer: FaceViewer,
        conditions: SeeingObserver,
        viewed_s: float,
    ) -> SeenFaces:
        height, width = image.shape[:2]
        views = viewer.observe(image, [(f.face_id, f.landmarks_px) for f in faces], viewed_s)
        seeing = conditions.observe(image, viewed_s)
        faces = [
            replace(
                face,
                views=replace(view, seeing=conditions.of_face(image, face.face_id, face.xywh_px)),
            )
            for face, view in zip(faces, views)
        ]
        return SeenFaces(stamp_s, (width, height), faces, self.backend, seeing)
