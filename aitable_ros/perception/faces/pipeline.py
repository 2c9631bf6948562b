# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From an image stream to tracked faces: detector, landmarks and identities together."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.detector import KEYPOINTS, FaceDetector
from aitable_ros.perception.faces.face_views import FaceViews
from aitable_ros.perception.faces.far_faces import FarFaces
from aitable_ros.perception.faces.finding import FaceFinder
from aitable_ros.perception.faces.landmarks import (
    LANDMARKS,
    REFINED_LANDMARKS,
    are_refined,
    keypoints_from_landmarks,
)
from aitable_ros.perception.faces.mesh import (
    ROI_SCALE,
    FaceMesh,
    FaceMeshResult,
    roi_from_detection,
    roi_from_landmarks,
)
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
from aitable_ros.perception.faces.tracker import FaceObservation, FaceTracker
from aitable_ros.perception.faces.turns import Turns
from aitable_ros.perception.images.checks import check_float32, check_image
from aitable_ros.perception.images.image_stream import ImageStream
from aitable_ros.perception.images.roi import RotatedRoi, in_rows
from aitable_ros.perception.images.ssd import Detection, iou_matrix

_NEARER = 1.5
"""Who is so much larger than the smallest face followed takes its place, where there is none left:
people at the next desk must not keep those at the table from being seen."""

_NEW_AT_ONCE = 2
"""So many new faces are measured in an image where there is a budget: each may take 7 runs."""


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """
    One face in one image.

    :param face_id: as :class:`FaceIdentity` has it; stays with the person while tracked.
    :param xywh_px: (4,) float32 left, top, width, height: tight box of the landmarks where they
        were measured, the detector's otherwise.
    :param confidence: score of the last detection of this face, 0..1.
    :param presence: probability that the landmarks lie on a face, 0..1; NaN: not measured.
    :param keypoints_px: (6, 2) float32: right eye, left eye, nose tip, mouth centre, right and
        left ear tragion.
    :param landmarks_px: (468, 3) float32, or (478, 3) with irises and refined lids and lips; None:
        not measured.
    :param tracked_s: header time since the id was given [s].
    :param views: what the image shows of eyes and mouth.
    :raises ValueError: for other shapes or element types.
    """

    face_id: str
    xywh_px: npt.NDArray[np.float32]
    confidence: float
    presence: float
    keypoints_px: npt.NDArray[np.float32]
    landmarks_px: npt.NDArray[np.float32] | None
    tracked_s: float
    views: FaceViews = FaceViews()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        check_float32('xywh_px', self.xywh_px, (4,))
        check_float32('keypoints_px', self.keypoints_px, (KEYPOINTS, 2))
        if self.landmarks_px is not None:
            count = REFINED_LANDMARKS if are_refined(self.landmarks_px) else LANDMARKS
            check_float32('landmarks_px', self.landmarks_px, (count, 3))


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A face of the present image before the tracker has named it."""

    xywh_px: npt.NDArray[np.float32]
    confidence: float
    detection: Detection | None
    mesh: FaceMeshResult | None
    previous_id: str | None
    doubtful: bool = False
    waits: bool = False
    """It is not measured in this image."""

    def observation(self) -> FaceObservation:
        landmarks = None if self.mesh is None else self.mesh.landmarks_px
        return FaceObservation(self.xywh_px, landmarks, self.previous_id)


class FacePipeline:
    """
    Follow the faces of an image stream.

    While a face's landmarks hold, the next image is searched around where they are expected
    only. The detector runs in every image while there is no face, after a gap in the stream, and
    for ``redetect_interval_s`` from the image on in which a face was lost or its landmarks were
    doubtful; otherwise once in that time.

    Not thread-safe: one stream, one thread (as the engines demand).

    :param detector: finds faces.
    :param mesh: measures their landmarks.
    :param tracker: gives the ids; the pipeline's own from now on.
    :param settings: thresholds.
    :param far: finds the faces that are too small for the detector; None: nobody looks for them.
    """

    def __init__(
        self,
        detector: FaceDetector,
        mesh: FaceMesh,
        tracker: FaceTracker | None = None,
        settings: PipelineSettings | None = None,
        far: FarFaces | None = None,
    ) -> None:
        self.settings = settings if settings is not None else PipelineSettings()
        self.tracker = tracker if tracker is not None else FaceTracker()
        self._mesh = mesh
        self._finder = FaceFinder(detector, mesh, far, self.settings)
        self.turns = Turns(self.settings.budget_ms, time.perf_counter)
        self.reset()

    def reset(self) -> None:
        """Forget all faces: the stream begins anew. Ids go on counting."""
        self._stream = ImageStream()
        self._forget()

    def _forget(self) -> None:
        self.tracker.reset()
        self._tracked: list[TrackedFace] = []
        self.waiting: list[TrackedFace] = []
        """Faces that were not measured in the last image, where they are expected."""
        self._detected_s = -math.inf
        self._alarm_s = -math.inf
        self._finder.reset()
        self.turns.reset()

    def continue_from(self, other: FacePipeline) -> None:
        """
        Go on with the faces of another pipeline, whose ids they keep, with own networks and
        thresholds.

        :param other: what followed the stream until now; not to be used any more.
        """
        settings = self.tracker.settings
        self.tracker = other.tracker
        self.tracker.settings = settings
        self._stream = other._stream
        self._tracked = list(other._tracked)
        self._detected_s = other._detected_s
        self._alarm_s = other._alarm_s
        self._finder.continue_from(other._finder)
        self.turns.continue_from(other.turns)

    def process(self, image: npt.NDArray[np.uint8], stamp_s: float) -> list[TrackedFace]:
        """
        Find and follow the faces of the stream's next image.

        An image of another size than the one before, or an earlier one, begins a new stream.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: header time of the image [s].
        :returns: faces in the order in which they were first seen; those that wait for their turn
            are in :attr:`waiting`.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        :raises InferenceError: when an engine fails.
        """
        gap_s = self._stream.advance(image, stamp_s)
        if gap_s is None:
            self._forget()
            gap_s = 0.0
        image = in_rows(image)

        interval_s = self.settings.redetect_interval_s
        looks = gap_s > self.settings.max_gap_s or stamp_s - self._detected_s >= interval_s
        sizes_px = [float(face.xywh_px[2:].max()) for face in self._tracked]
        due = looks and self.settings.budget_ms
        self.turns.reserved_ms = self._finder.expected_ms(image, stamp_s, sizes_px) if due else 0.0
        faces = self._follow(image, stamp_s)
        if len(faces) < len(self._tracked) or any(face.doubtful for face in faces):
            self._alarm_s = stamp_s
        if not faces or looks or stamp_s - self._alarm_s <= interval_s:
            self._detected_s = stamp_s
            faces = self._detect(image, faces, stamp_s)

        measured = [face for face in faces if not face.waits]
        waiting = {face.previous_id: face for face in faces if face.previous_id and face.waits}
        identities = self.tracker.update(
            stamp_s, [face.observation() for face in measured], waiting
        )
        named = sorted(zip(identities, measured), key=lambda pair: pair[0].number)
        seen = [_name(face, identity.face_id, identity.tracked_s) for identity, face in named]
        numbers = {identity.face_id: identity.number for identity in identities}
        tracked, self.waiting = list(seen), []
        for last in self._tracked if waiting else ():
            face = waiting.get(last.face_id)
            if face is None:
                continue
            identity = self.tracker.identity(last.face_id, stamp_s)
            numbers[last.face_id] = identity.number
            tracked.append(replace(last, confidence=face.confidence))
            self.waiting.append(
                replace(
                    tracked[-1],
                    xywh_px=face.xywh_px,
                    presence=math.nan,
                    keypoints_px=last.keypoints_px + (face.xywh_px[:2] - last.xywh_px[:2]),
                    landmarks_px=None,
                    tracked_s=identity.tracked_s,
                )
            )
        self._tracked = sorted(tracked, key=lambda face: numbers[face.face_id])
        self.turns.keep(list(numbers))
        return seen

    def process_still(self, image: npt.NDArray[np.uint8]) -> list[TrackedFace]:
        """
        Find the faces of one picture that belongs to no stream.

        Leaves what :meth:`process` remembers untouched. Keypoints are the detector's.

        :param image: (H, W, 3) uint8 RGB.
        :returns: faces, best detection first, named 'f1', 'f2', ... in every picture anew.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when an engine fails.
        """
        check_image(image)
        faces = self._detect(in_rows(image), [], math.nan)
        return [
            _name(face, f'f{i}', 0.0, detector_keypoints=True) for i, face in enumerate(faces, 1)
        ]

    def _follow(self, image: npt.NDArray[np.uint8], stamp_s: float) -> list[_Candidate]:
        """Search where the landmarks of the image before are expected now."""
        boxes = {face.face_id: face.xywh_px for face in self._tracked}
        chosen = self.turns.choose(boxes, stamp_s, image.shape)
        begun_s = self.turns.clock()
        rois = []
        for face in self._tracked:
            assert face.landmarks_px is not None
            shift = self.tracker.expected_shift_px(face.face_id, stamp_s)
            if face.face_id in chosen:
                roi = roi_from_landmarks(face.landmarks_px, face.xywh_px)
                rois.append(
                    RotatedRoi(roi.cx + shift[0], roi.cy + shift[1], roi.size, roi.angle_rad)
                )
            else:
                boxes[face.face_id] = face.xywh_px + np.array((*shift, 0, 0), np.float32)
        meshes = iter(self._mesh.run(image, rois))
        faces = []
        for face in self._tracked:
            name, score = face.face_id, face.confidence
            if name not in chosen:
                faces.append(_Candidate(boxes[name], score, None, None, name, waits=True))
                continue
            mesh = next(meshes)
            if mesh is not None and self._is_face(
                mesh, image, self.settings.min_followed_presence
            ):
                doubt = self._is_doubtful(mesh)
                faces.append(_Candidate(mesh.xywh_px, score, None, mesh, name, doubt))
        self.turns.spent(list(chosen), stamp_s, self.turns.clock() - begun_s)
        return self._merge(faces, stamp_s)

    def _with_room(
        self, fresh: Sequence[Detection], followed: Sequence[_Candidate]
    ) -> tuple[list[Detection], set[int]]:
        """Give the new faces that there is room for, and who followed leaves it to nearer ones."""
        room = max(0, self.settings.max_faces - len(followed))
        smallest = sorted(range(len(followed)), key=lambda i: max(followed[i].xywh_px[2:]))
        nearest = sorted(fresh[room:], key=lambda one: -max(one.xywh_px[2:]))
        pairs = [
            (new, i)
            for new, i in zip(nearest, smallest)
            if max(new.xywh_px[2:]) > _NEARER * max(followed[i].xywh_px[2:])
        ]
        return [*fresh[:room], *(new for new, _ in pairs)], {i for _, i in pairs}

    def _is_doubtful(self, mesh: FaceMeshResult) -> bool:
        x, y, width, height = mesh.xywh_px.tolist()
        roi = mesh.roi
        shift_px = math.hypot(x + 0.5 * width - roi.cx, y + 0.5 * height - roi.cy)
        return shift_px > self.settings.max_shift * roi.size / ROI_SCALE

    def _has_slipped(self, face: _Candidate, detection: Detection) -> bool:
        assert face.mesh is not None
        keypoints = keypoints_from_landmarks(face.mesh.landmarks_px)
        dx, dy = (keypoints[:4] - detection.keypoints_px[:4]).mean(axis=0).tolist()
        return math.hypot(dx, dy) > self.settings.max_slip * float(detection.xywh_px[2:].max())

    def _is_face(
        self,
        mesh: FaceMeshResult,
        image: npt.NDArray[np.uint8],
        min_presence: float | None = None,
    ) -> bool:
        if mesh.presence < (self.settings.min_presence if min_presence is None else min_presence):
            return False
        x, y, width, height = mesh.xywh_px.tolist()
        return (
            max(width, height) >= max(self.settings.min_face_px, 1.0)
            and min(width, height) > 0.0
            and 0.0 <= x + 0.5 * width < image.shape[1]
            and 0.0 <= y + 0.5 * height < image.shape[0]
        )

    def _merge(self, candidates: Sequence[_Candidate], stamp_s: float) -> list[_Candidate]:
        """Of faces that fell onto each other keep one; they come ordered by age, new ones last."""
        if len(candidates) < 2:
            return list(candidates)
        kept: list[_Candidate] = []
        for face in candidates:
            i = next((i for i, other in enumerate(kept) if self._same_face(face, other)), None)
            if i is None:
                kept.append(face)
                continue
            surprise = self._surprise(kept[i], stamp_s) - self._surprise(face, stamp_s)
            if surprise > self.settings.merge_surprise:
                kept[i], face = face, kept[i]
            if face.previous_id is not None:
                self.tracker.rewind(face.previous_id)
        return kept

    def _same_face(self, a: _Candidate, b: _Candidate) -> bool:
        overlap = iou_matrix(a.xywh_px[None], b.xywh_px[None])[0, 0]
        return bool(overlap > self.settings.merge_iou)

    def _surprise(self, face: _Candidate, stamp_s: float) -> float:
        if face.previous_id is None:
            return sys.float_info.max  # not infinite: two of them are compared by difference
        return self.tracker.surprise(face.previous_id, stamp_s, face.observation())

    def _detect(
        self, image: npt.NDArray[np.uint8], followed: Sequence[_Candidate], stamp_s: float
    ) -> list[_Candidate]:
        """Return the faces followed, checked against the detector, and those found beside."""
        settings = self.settings
        sizes_px = [float(face.xywh_px[2:].max()) for face in self._tracked]
        detections = [
            detection
            for detection in self._finder.look(image, stamp_s, sizes_px, alone=not followed)
            if max(detection.xywh_px[2:]) >= settings.min_face_px
            and min(detection.xywh_px[2:]) > 0.0
        ]
        overlaps = iou_matrix(
            np.reshape([face.xywh_px for face in followed], (-1, 4)),
            np.reshape([detection.xywh_px for detection in detections], (-1, 4)),
        )
        fresh = [
            detection
            for j, detection in enumerate(detections)
            if not (overlaps[:, j] > settings.detection_iou).any()
        ]
        fresh, left = self._with_room(fresh, followed)
        if settings.budget_ms and len(fresh) > _NEW_AT_ONCE and not math.isnan(stamp_s):
            self._alarm_s = stamp_s  # so that it looks for the others in the next image
            fresh = fresh[:_NEW_AT_ONCE]

        faces: list[_Candidate] = []
        again: list[tuple[_Candidate, RotatedRoi]] = []
        pairs = _pair(overlaps, settings.detection_iou)
        for i, face in enumerate(followed):
            if i in left:
                continue
            detection = detections[pairs[i]] if i in pairs else None
            if detection is not None:
                face = replace(face, confidence=detection.score, detection=detection)
                if face.waits:
                    faces.append(face)
                    continue
                if face.doubtful or self._has_slipped(face, detection):
                    again.append((face, roi_from_detection(detection)))
                    continue
            elif face.doubtful:
                # Too small or too turned for the detector, perhaps: a second look must settle.
                assert face.mesh is not None
                again.append((face, roi_from_landmarks(face.mesh.landmarks_px, face.xywh_px)))
                continue
            faces.append(face)
        for detection in fresh:
            face = _Candidate(detection.xywh_px, detection.score, detection, None, None)
            again.append((face, roi_from_detection(detection)))
        meshes = self._finder.measure(image, [roi for _, roi in again], stamp_s)
        for (face, _), mesh in zip(again, meshes):
            if (
                mesh is not None
                and self._is_face(mesh, image)
                and (face.detection is not None or not self._is_doubtful(mesh))
                and (
                    face.previous_id is not None
                    or face.detection is None
                    or self._finder.confirms(image, face.detection, mesh)
                )
            ):
                faces.append(replace(face, xywh_px=mesh.xywh_px, mesh=mesh, doubtful=False))
        order = {face.face_id: i for i, face in enumerate(self._tracked)}
        faces.sort(key=lambda face: order.get(face.previous_id or '', len(order)))
        return self._merge(faces, stamp_s)


def _pair(overlaps: npt.NDArray, min_iou: float) -> dict[int, int]:
    """Pair rows with columns, the greatest overlap first, each once; row to column."""
    pairs: dict[int, int] = {}
    for k in np.argsort(-overlaps, axis=None, kind='stable'):
        i, j = divmod(int(k), overlaps.shape[1])
        if overlaps[i, j] <= min_iou:
            break
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _name(
    face: _Candidate, face_id: str, tracked_s: float, *, detector_keypoints: bool = False
) -> TrackedFace:
    mesh = face.mesh
    assert mesh is not None
    if detector_keypoints and face.detection is not None:
        keypoints = face.detection.keypoints_px
    else:
        # Also in the image in which the face was detected: otherwise the keypoints would jump.
        keypoints = keypoints_from_landmarks(mesh.landmarks_px)
    return TrackedFace(
        face_id,
        face.xywh_px,
        face.confidence,
        mesh.presence,
        keypoints,
        mesh.landmarks_px,
        tracked_s,
    )
