# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Faces that the short-range detector is too coarse for: which network finds them, and when."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.mesh import ROI_SCALE, FaceMeshResult, roi_from_landmarks
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.ssd import Detection, iou_matrix
from aitable_ros.perception.maths.settings import Settings, setting

FACE_WIDTH_M = 0.15
"""Width of a face, ear to ear [m] (60 px at 1.3 m, 40 px at 2 m through 62 degrees in 640 px)."""

SHORT = 'face_detection'
FINDS: Mapping[str, float] = MappingProxyType(
    {SHORT: 0.125, 'face_detection_full': 0.1, 'face_detection_back': 0.042}
)
"""
Smallest face of which each network finds 98 in 100, as a share of the image's longer side.

By ``scripts/studies/far_faces.py``: faces tilted up to 45 degrees, unsure ones looked at closer.
"""


@dataclass(frozen=True)
class FarSettings(Settings):
    """
    Which faces are looked for with a larger network than the short-range one, and how often.

    :param max_distance_m: how far away faces are to be found [m] (3: a table and the next one).
    :param default_fov_rad: field of view along the image's longer side [rad] (62.2 degrees:
        Raspberry Pi Camera Module 2, Sony IMX219).
    :param interval_s: while faces are followed, all of them near, it looks this often [s].
    :param search_interval_s: while nobody is followed it looks this often [s].
    :param candidate_score: what it finds below ``min_score`` counts down to this score where the
        short-range network sees a face, too, when it looks closer (0.2: 98 % of faces of
        30 px score more).
    :param closer_score: lowest score of that closer look (0.7: 97 % of faces of 30 px score
        more). New faces that the larger network or a turned picture showed need it a second
        time, where their landmarks are, and so do unsure ones of the short-range network (in 57
        pictures without people nothing passed).
    :param sure_score: ... unless the first one gave as much (0.8: 95 % of faces of 30 px).
    :raises ValueError: for a value out of range.
    """

    max_distance_m: float = setting(3.0, 0.1, 100.0)
    default_fov_rad: float = setting(math.radians(62.2), 0.2, 2.8)
    interval_s: float = setting(3.0, 0.0, 3600.0)
    search_interval_s: float = setting(0.2, 0.0, 3600.0)
    candidate_score: float = setting(0.2, 0.0, 1.0)
    closer_score: float = setting(0.7, 0.0, 1.0)
    sure_score: float = setting(0.8, 0.0, 1.0)


_SAME_IOU = 0.1
"""Boxes that overlap more are one face."""

_CLOSER = 3.0
"""So many times as large as the face is the region in which it is looked at closer."""


class FarFaces:
    """
    Looks for the faces that are too small for the short-range detector, where there may be any.

    :param near: the short-range detector, which looks closer at what is unsure.
    :param far: larger ones.
    :param choose: whether it follows from the image which of them is needed, if any; else it is
        always the best one.
    :param settings: which faces, how often.
    :param min_score: detections below are unsure, 0..1.
    :param min_face_px: smaller faces do not matter.
    """

    def __init__(
        self,
        near: FaceDetector,
        far: Sequence[FaceDetector],
        settings: FarSettings | None = None,
        *,
        choose: bool = True,
        min_score: float = 0.5,
        min_face_px: float = 0.0,
    ) -> None:
        self.settings = settings or FarSettings()
        self._choose = choose
        self._near = near
        self._far = sorted(far, key=lambda detector: -FINDS[detector.name])
        self._min_score = min_score
        self._min_face_px = min_face_px
        self._shape: Sequence[int] = ()
        self.looks = 0
        """How often a larger detector looked."""
        self.look_ms = 0.0
        """How long its last look took [ms]."""
        self.reset()

    def reset(self) -> None:
        """Another stream begins: the next look is due."""
        self._looked_s = -math.inf

    def continue_from(self, other: FarFaces) -> None:
        """Go on with the stream of another one."""
        self._looked_s, self._shape, self.looks = other._looked_s, other._shape, other.looks

    def smallest_px(self, shape: Sequence[int]) -> float:
        """
        Return the width of the smallest face that is to be found [px].

        :param shape: of the images: height, width and more.
        """
        focal_px = 0.5 * max(shape[:2]) / math.tan(0.5 * self.settings.default_fov_rad)
        return max(self._min_face_px, focal_px * FACE_WIDTH_M / self.settings.max_distance_m)

    def detector(self, shape: Sequence[int], stamp_s: float) -> FaceDetector | None:
        """
        Return the smallest detector that finds such faces, else the best one there is.

        :param shape: of the images: height, width and more.
        :param stamp_s: header time [s]; NaN: a picture that belongs to no stream, which gets the
            best one in any case.
        :returns: None: the short-range one does.
        """
        best = self._far[-1] if self._far else None
        if best is None or math.isnan(stamp_s) or not self._choose:
            return best
        share = self.smallest_px(shape) / max(shape[:2])
        if share >= FINDS[SHORT]:
            return None
        able = [detector for detector in self._far if FINDS[detector.name] <= share]
        return able[0] if able else best

    def __str__(self) -> str:
        """Say what looks for faces of which size, and how often, for diagnostics."""
        if not self._shape:
            return 'no image yet'
        detector, longer_px = self.detector(self._shape, 0.0), max(self._shape[:2])
        name = SHORT if detector is None else detector.name
        wanted_px, found_px = self.smallest_px(self._shape), FINDS[name] * longer_px
        said = f'{name}: finds faces from {found_px:.0f} px on, {wanted_px:.0f} px are asked for'
        if detector is None:
            return said
        return (
            f'{said}; looked {self.looks} times: every {self.settings.interval_s:g} s beside'
            f' {SHORT} while all faces are larger than {FINDS[SHORT] * longer_px:.0f} px,'
            f' every {self.settings.search_interval_s:g} s while there are none'
        )

    def due(
        self, shape: Sequence[int], stamp_s: float, followed_px: Sequence[float]
    ) -> FaceDetector | None:
        """
        Return the detector that is to look at the stream's next image.

        :param shape: of the image: height, width and more.
        :param stamp_s: its header time [s]; NaN: a picture that belongs to no stream.
        :param followed_px: longer sides of the faces of the image before.
        :returns: None: it is none's turn.
        """
        detector = self.will_look(shape, stamp_s, followed_px)
        self._shape = shape
        if detector is not None and not math.isnan(stamp_s):
            self._looked_s = stamp_s
            self.looks += 1
        return detector

    def will_look(
        self, shape: Sequence[int], stamp_s: float, followed_px: Sequence[float]
    ) -> FaceDetector | None:
        """Tell what :meth:`due` will return."""
        detector = self.detector(shape, stamp_s)
        if detector is None or math.isnan(stamp_s):
            return detector
        interval_s = 0.0
        if not followed_px:
            interval_s = self.settings.search_interval_s
        elif min(followed_px) >= FINDS[SHORT] * max(shape[:2]):
            interval_s = self.settings.interval_s
        if 0 <= stamp_s - self._looked_s < interval_s:
            return None
        return detector

    def besides(
        self, image: npt.NDArray[np.uint8], detector: FaceDetector, near: Sequence[Detection]
    ) -> list[Detection]:
        """
        Find faces besides those that the short-range detector found.

        :param image: (H, W, 3) uint8 RGB.
        :param detector: one of the larger ones.
        :param near: what the short-range one found; what it is unsure of stands back.
        :returns: all of them, best first.
        """
        begun_s = time.perf_counter()
        settings = self.settings
        found = [one for one in near if one.score >= settings.closer_score]
        for one in detector.detect(image):
            if not _is_new(one, found):
                continue
            x, y, width, height = one.xywh_px.tolist()
            face = RotatedRoi(x + 0.5 * width, y + 0.5 * height, max(width, height))
            closer = self._closer(image, face)
            if closer is not None and closer.score < settings.sure_score:
                closer = replace(closer, sure=False)
            if closer is None and one.score >= self._min_score:
                closer = replace(one, sure=False)
            if closer is not None and _is_new(closer, found):
                found.append(closer)
        found += [one for one in near if _is_new(one, found)]
        self.look_ms = 1e3 * (time.perf_counter() - begun_s)
        return sorted(found, key=lambda one: -one.score)

    def confirms(self, image: npt.NDArray[np.uint8], mesh: FaceMeshResult) -> bool:
        """
        Tell whether the short-range network, too, sees a face where landmarks were measured.

        :param image: (H, W, 3) uint8 RGB.
        :param mesh: the landmarks.
        """
        roi = roi_from_landmarks(mesh.landmarks_px, mesh.xywh_px)
        return self._closer(image, replace(roi, size=roi.size / ROI_SCALE)) is not None

    def _closer(self, image: npt.NDArray[np.uint8], face: RotatedRoi) -> Detection | None:
        """Look with the short-range network at a region in which there may be a face, enlarged."""
        limit = max(self.settings.closer_score, self._min_score)
        for seen in self._near.detect(image, replace(face, size=_CLOSER * face.size)):
            x, y = (seen.xywh_px[:2] + 0.5 * seen.xywh_px[2:]).tolist()
            if seen.score >= limit and math.hypot(x - face.cx, y - face.cy) < 0.5 * face.size:
                return seen
        return None


def _is_new(one: Detection, others: Sequence[Detection]) -> bool:
    if not others:
        return True
    boxes = np.stack([other.xywh_px for other in others])
    return not (iou_matrix(one.xywh_px[None], boxes) > _SAME_IOU).any()
