# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Faces: an image and its stamp in, who is seen where out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.on_demand import OnDemandEngine, on_demand
from aitable_ros.inference.selection import AUTO, Load, Selection, close_all, describe, opened
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.face_views import FaceViewer, ViewSettings
from aitable_ros.perception.faces.far_faces import FarFaces, FarSettings
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline, TrackedFace
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
from aitable_ros.perception.faces.tracker import FaceTracker, TrackerSettings, run_prefix
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.seeing import Seeing, SeeingObserver, SeeingSettings
from aitable_ros.perception.images.stream_order import Source, StreamOrder

LIGHT_NETWORKS = ('face_detection', 'face_mesh')
NETWORKS = ('face_detection', 'face_attention')
"""With refined lids, lips and irises."""

DETECTORS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        AUTO: ('face_detection_full', 'face_detection_back'),
        'short': (),
        'full': ('face_detection_full',),
        'back': ('face_detection_back',),
    }
)
"""Networks that look for far faces besides the short-range one, by what users call them."""

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
    :param far: which far faces are looked for, and how often.
    """

    min_score: float = 0.5
    memory_s: float = TrackerSettings.memory_s
    pipeline: PipelineSettings = PipelineSettings()  # noqa: RUF009 (frozen)
    views: ViewSettings = ViewSettings()  # noqa: RUF009 (frozen)
    seeing: SeeingSettings = SeeingSettings()  # noqa: RUF009 (frozen)
    far: FarSettings = FarSettings()  # noqa: RUF009 (frozen)


@dataclass(frozen=True, eq=False)
class SeenFaces:
    """
    The faces of one image.

    :param stamp_s: header time of the image [s].
    :param size_px: width and height of the image.
    :param faces: in the order in which they were first seen.
    :param backend: what ran, as ``face_detection: litert, face_attention: litert``.
    :param seeing: what can be seen in the image at all.
    :param waiting: faces that were not measured in this image, there being no time for all: where
        they are expected, without landmarks. Nothing is read of them.
    """

    stamp_s: float
    size_px: tuple[int, int]
    faces: Sequence[TrackedFace]
    backend: str = ''
    seeing: Seeing = Seeing.CLEAR
    waiting: Sequence[TrackedFace] = ()


class FaceObserver:
    """
    Finds the faces of an image stream and follows them.

    Not thread-safe; use and close it in the thread that loaded it.

    :param selections: the engines of :data:`NETWORKS` or :data:`LIGHT_NETWORKS`, in this order,
        then larger detectors; the observer's own from now on.
    :param settings: thresholds.
    :param why_unrefined: why it is the light networks.
    :param why_near: why larger detectors are missing.
    :param choose: as :class:`FarFaces` has it.
    :raises ValueError: for a setting out of range.
    """

    def __init__(
        self,
        selections: Sequence[Selection],
        settings: FaceSettings | None = None,
        *,
        why_unrefined: str = '',
        why_near: str = '',
        choose: bool = True,
    ) -> None:
        self._choose = choose
        self._shape: tuple[int, ...] = ()
        self._said: dict[str, str] = {}
        self.selections = tuple(selections)
        self.why_unrefined = why_unrefined
        self.why_near = why_near
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
        detector: str = AUTO,
        backend: str = AUTO,
    ) -> FaceObserver:
        """
        Load BlazeFace and the attention mesh, or say why FaceMesh has to do.

        :param load: loads networks of the catalog.
        :param refine_eyes: False: FaceMesh, which is faster but hardly sees lids close.
        :param detector: one of :data:`DETECTORS`; ``auto``: those that load, of which the one
            that is needed looks for far faces.
        :param backend: ``auto``: FaceMesh where the attention mesh does not load.
        :raises InferenceError: when one cannot be loaded.
        """
        why = '' if refine_eyes else 'refine_eyes is false'
        with contextlib.ExitStack() as stack:
            selections: Sequence[Selection] = ()
            if not why:
                try:
                    selections = stack.enter_context(opened(load, NETWORKS))
                except InferenceError as error:
                    if backend != AUTO:
                        raise
                    why = str(error)
            selections = selections or stack.enter_context(opened(load, LIGHT_NETWORKS))
            why_near = ''
            for name in DETECTORS[detector]:

                def again(name: str = name) -> Selection:
                    return load((name,))[0]

                try:
                    (larger,) = stack.enter_context(opened(load, (name,)))
                    several = len(DETECTORS[detector]) > 1
                    selections = (*selections, on_demand(larger, again) if several else larger)
                except InferenceError as error:
                    if detector != AUTO:
                        raise
                    why_near = str(error)
            return cls(
                selections,
                settings,
                why_unrefined=why,
                why_near=why_near,
                choose=detector == AUTO,
            )

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
        self._let_go(image.shape, now_s)
        waiting = self._pipeline.waiting
        return self._seen(image, stamp_s, faces, self._viewer, self._seeing, now_s, waiting)

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

    @property
    def turns(self) -> str:
        """Say how many faces are measured in an image, for diagnostics."""
        turns = self._pipeline.turns
        if not turns.budget_ms:
            return 'all in every image'
        return f'{turns.places:.0f} in an image, {turns.cost_ms:.1f} ms each'

    @property
    def looking(self) -> str:
        """Say which detector looks how, for diagnostics."""
        return f'{self._far}{self.why_near and f"; {self.why_near}"}'

    def _make(self, settings: FaceSettings) -> FacePipeline:
        detector, mesh, *larger = (selection.engine for selection in self.selections)
        near = FaceDetector(detector, min_score=settings.min_score)
        candidates = min(settings.min_score, settings.far.candidate_score)
        self._far = FarFaces(
            near,
            [FaceDetector(engine, min_score=candidates) for engine in larger],
            settings.far,
            choose=self._choose,
            min_score=settings.min_score,
            min_face_px=settings.pipeline.min_face_px,
        )
        return FacePipeline(
            near,
            FaceMesh(mesh),
            FaceTracker(TrackerSettings(memory_s=settings.memory_s)),
            settings.pipeline,
            self._far,
        )

    def _seen(
        self,
        image: npt.NDArray[np.uint8],
        stamp_s: float,
        faces: Sequence[TrackedFace],
        viewer: FaceViewer,
        conditions: SeeingObserver,
        viewed_s: float,
        waiting: Sequence[TrackedFace] = (),
    ) -> SeenFaces:
        height, width = image.shape[:2]
        landmarks = [(face.face_id, face.landmarks_px) for face in faces]
        views = viewer.observe(image, landmarks, viewed_s, [face.face_id for face in waiting])
        seeing = conditions.observe(image, viewed_s)
        viewed = []
        for face, view in zip(faces, views):
            light = conditions.of_face(image, face.face_id, face.xywh_px)
            # most often all is seen well, as a face begins
            view = view if view.seeing is light else replace(view, seeing=light)
            viewed.append(face if view == face.views else replace(face, views=view))
        backend = self._backend(image.shape, viewed_s)
        return SeenFaces(stamp_s, (width, height), viewed, backend, seeing, waiting)

    def _let_go(self, shape: tuple[int, ...], stamp_s: float) -> None:
        """Free the detectors that images of this size do not need."""
        if shape == self._shape:
            return
        self._shape = shape
        needed = self._far.detector(shape, stamp_s)
        for selection in self.selections:
            engine = selection.engine
            if isinstance(engine, OnDemandEngine) and (not needed or needed.name != engine.name):
                engine.release()

    def _backend(self, shape: tuple[int, ...], stamp_s: float) -> str:
        """Say what runs on such images."""
        far = self._far.detector(shape, stamp_s)
        name = far.name if far else ''
        if name not in self._said:
            running = [*self.selections[: len(NETWORKS)]]
            running += [one for one in self.selections[len(NETWORKS) :] if one.engine.name == name]
            self._said[name] = describe(running)
        return self._said[name]
