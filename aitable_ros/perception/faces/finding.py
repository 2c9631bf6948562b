# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Finding faces in an image: near and far ones, and whichever way up they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.far_faces import FarFaces
from aitable_ros.perception.faces.mesh import FaceMesh, FaceMeshResult, roi_from_landmarks
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.ssd import Detection, turned_back

_TURNS_RAD = (math.pi / 2, math.pi, -math.pi / 2)


class FaceFinder:
    """
    Looks where nobody is followed yet, and measures what it found.

    :param detector: finds faces.
    :param mesh: measures their landmarks.
    :param far: finds those that are too small for the detector; None: nobody does.
    :param settings: thresholds.
    """

    def __init__(
        self,
        detector: FaceDetector,
        mesh: FaceMesh,
        far: FarFaces | None,
        settings: PipelineSettings,
    ) -> None:
        self.settings = settings
        self._detector = detector
        self._mesh = mesh
        self._far = far
        self.reset()

    def reset(self) -> None:
        """Another stream begins."""
        self._turned_s = self._doubted_s = -math.inf
        self._turn = 0
        if self._far is not None:
            self._far.reset()

    def continue_from(self, other: FaceFinder) -> None:
        """Go on with the stream of another one."""
        if self._far is not None and other._far is not None:
            self._far.continue_from(other._far)

    def expected_ms(
        self, image: npt.NDArray[np.uint8], stamp_s: float, followed_px: Sequence[float]
    ) -> float:
        """Tell how long the larger network is to look at the next image [ms]; 0: not at all."""
        far = self._far
        due = far is not None and far.will_look(image.shape, stamp_s, followed_px)
        return far.look_ms if far is not None and due else 0.0

    def look(
        self,
        image: npt.NDArray[np.uint8],
        stamp_s: float,
        followed_px: Sequence[float],
        *,
        alone: bool,
    ) -> Sequence[Detection]:
        """
        Detect faces; where there are none, now and then also in the picture turned.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: header time [s]; NaN: a picture that belongs to no stream.
        :param followed_px: longer sides of the faces of the image before.
        :param alone: nobody is followed to this image.
        """
        far = None if self._far is None else self._far.due(image.shape, stamp_s, followed_px)
        found = self._detect(image, far)
        if found or not alone or 0 <= stamp_s - self._turned_s < self.settings.redetect_interval_s:
            return found
        turns: Sequence[int] = (1, 2, 3)
        if not math.isnan(stamp_s):  # of a stream: one a time
            self._turned_s, self._turn = stamp_s, self._turn % 3 + 1
            turns = (self._turn,)
        for turn in turns:
            found = self._detect(np.ascontiguousarray(np.rot90(image, turn)), far)
            if found:
                return [turned_back(one, turn, image.shape) for one in found]
        return []

    def _detect(
        self, image: npt.NDArray[np.uint8], far: FaceDetector | None
    ) -> Sequence[Detection]:
        found = self._detector.detect(image)
        if self._far is not None and far is not None:
            found = self._far.besides(image, far, found)
        return found

    def confirms(
        self, image: npt.NDArray[np.uint8], found: Detection, mesh: FaceMeshResult
    ) -> bool:
        """Tell whether what was found is a face, by a closer look where that is unsure."""
        if self._far is None:
            return True
        sure_of_it = found.score >= self._far.settings.closer_score
        if found.sure and (sure_of_it or mesh.presence >= self.settings.sure_presence):
            return True
        return self._far.confirms(image, mesh)

    def measure(
        self, image: npt.NDArray[np.uint8], rois: Sequence[RotatedRoi], stamp_s: float
    ) -> list[FaceMeshResult | None]:
        """Measure in regions; also in them turned: unsure ones, and now and then those of none."""
        # BlazeFace takes faces upside down for upright ones, and the mesh follows it
        meshes = self._mesh.run(image, rois)
        due = not 0 <= stamp_s - self._doubted_s < self.settings.redetect_interval_s
        for i, mesh in enumerate(meshes):
            presence = 0.0 if mesh is None else mesh.presence
            none = presence < self.settings.min_presence
            if presence >= self.settings.sure_presence or (none and not due):
                continue
            if none:
                self._doubted_s = stamp_s  # not a number, of a picture alone: always due
            turned = [replace(rois[i], angle_rad=rois[i].angle_rad + by) for by in _TURNS_RAD]
            # the regions were placed for another way up: once more, around the landmarks
            around = [
                roi_from_landmarks(one.landmarks_px, one.xywh_px)
                for one in self._mesh.run(image, turned)
                if one is not None and min(one.xywh_px[2:]) > 0.0
            ]
            found = [one for one in (mesh, *self._mesh.run(image, around)) if one is not None]
            meshes[i] = max(found, key=lambda one: one.presence, default=None)
        return meshes
