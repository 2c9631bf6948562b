# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether eyes and mouth of a face can be seen, as the picture itself shows: landmarks do not tell.

The landmark network places lids behind sunglasses, hands and in the dark, with full presence. So
a small patch of each eye and of the mouth is looked at: does it lie in the picture, has it
contrast, is it sharp, and does it look like what it should be. The last is a network of one hidden
layer on 12 x 9 grey values, trained by ``scripts/studies/train_cover.py``; docs/seeing.md has its
figures.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import (
    LEFT_EYE_INNER_CORNER,
    LEFT_EYE_OUTER_CORNER,
    RIGHT_EYE_INNER_CORNER,
    RIGHT_EYE_OUTER_CORNER,
)
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.seeing import Seeing, mean_and_std
from aitable_ros.perception.maths.settings import Settings, setting

PATCH_PX = 32
_ROWS = slice(4, 28)
_SIZE = (12, 9)
_NOISE = 3.0
"""Grey levels that are added to the contrast, so that noise alone is not blown up."""

_NUMBERS = Path(__file__).with_name('cover.npz')


class View(IntEnum):
    """What a picture shows of an eye or a mouth; anything but SEEN: nothing is said of it."""

    SEEN = 0
    OUTSIDE = 1
    DARK = 2
    BLURRED = 3
    COVERED = 4


@dataclass(frozen=True)
class FaceViews:
    """What a picture shows of a face and its parts; left and right are the person's own."""

    right_eye: View = View.SEEN
    left_eye: View = View.SEEN
    mouth: View = View.SEEN
    seeing: Seeing = Seeing.CLEAR

    @property
    def expression_is_seen(self) -> bool:
        """Whether enough is seen to read an expression: the mouth and an eye."""
        return self.mouth is View.SEEN and View.SEEN in (self.right_eye, self.left_eye)


@dataclass(frozen=True)
class ViewSettings(Settings):
    """
    From where on a part of a face is not seen.

    :param min_contrast: standard deviation of an eye's grey values, smoothed [grey levels] (5.5:
        with 4.5 half of closed eyes still measure as closed, with 7 eight in ten of those in full
        light).
    :param min_sharpness: share of the contrast in details of a sixteenth of the patch (0.18:
        1 % of sharp eyes have less, and most of those smeared by a sixth of the eye's width).
    :param cover_odds: log-odds from which on an eye or mouth is covered (1.5: 2 % of the seen eyes
        of 1,251 photographs, most of those behind glare or in the dark, and 80 % of the covered
        ones); 100: never.
    :param cover_margin: ... and this much less to be seen again.
    :param memory_s: time constant of the log-odds over a stream [s].
    :param period_s: a face is looked at this often [s] (0.19: each sixth image at 30 Hz; what
        covers a face and how much light there is change slower than lids).
    :raises ValueError: for a value out of range.
    """

    min_contrast: float = setting(5.5, 0.0, 100.0)
    min_sharpness: float = setting(0.18, 0.0, 1.0)
    cover_odds: float = setting(1.5, -10.0, 100.0)
    cover_margin: float = setting(1.0, 0.0, 10.0)
    memory_s: float = setting(0.5, 0.0, 10.0)
    period_s: float = setting(0.19, 0.0, 5.0)


@dataclass(frozen=True)
class Part:
    """
    A part of the face.

    :param name: of its numbers.
    :param corners: landmarks such that the way from the first to the second points to the right.
    :param scale: how much wider than the part its patch is.
    :param mirrored: it is shown as its twin on the other side.
    """

    name: str
    corners: tuple[int, int]
    scale: float
    mirrored: bool = False

    def ends(self, landmarks_px: npt.NDArray) -> tuple[float, float, float, float]:
        """
        Return where the part begins and ends, x, y and x, y [pixels].

        :param landmarks_px: (468 or more, 2 or 3).
        """
        one, other = self.corners
        (x0, y0), (x1, y1) = landmarks_px[one, :2].tolist(), landmarks_px[other, :2].tolist()
        return x0, y0, x1, y1

    def patch(
        self, image: npt.NDArray[np.uint8], landmarks_px: npt.NDArray
    ) -> npt.NDArray[np.float32] | None:
        """
        Cut the part out, level.

        :param image: (H, W, 3) uint8 RGB.
        :param landmarks_px: (468 or more, 2 or 3).
        :returns: (32, 32) float32 grey values; None where its corners coincide.
        """
        x0, y0, x1, y1 = self.ends(landmarks_px)
        width = math.hypot(x1 - x0, y1 - y0)
        if not 0.0 < width < math.inf:
            return None
        angle = math.atan2(y1 - y0, x1 - x0)
        roi = RotatedRoi(0.5 * (x0 + x1), 0.5 * (y0 + y1), self.scale * width, angle)
        grey = cv2.cvtColor(roi.crop(image, PATCH_PX)[0], cv2.COLOR_RGB2GRAY)
        return np.asarray(grey[:, ::-1] if self.mirrored else grey, np.float32)

    def lies_in(self, size_px: tuple[int, int], landmarks_px: npt.NDArray) -> bool:
        """Tell whether the part, with a fifth of its width around it, lies in a picture."""
        x0, y0, x1, y1 = self.ends(landmarks_px)
        margin = 0.2 * math.hypot(x1 - x0, y1 - y0)
        right, bottom = (side - 1 - margin for side in size_px)
        return margin <= min(x0, x1, y0, y1) and max(x0, x1) <= right and max(y0, y1) <= bottom


RIGHT_EYE = Part('eye', (RIGHT_EYE_OUTER_CORNER, RIGHT_EYE_INNER_CORNER), 2.0)
LEFT_EYE = Part('eye', (LEFT_EYE_INNER_CORNER, LEFT_EYE_OUTER_CORNER), 2.0, mirrored=True)
MOUTH = Part('mouth', (61, 291), 1.6)


def features(patch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """
    Give what the network looks at: shape without light, and how much of that there was.

    :param patch: (32, 32) grey values.
    :returns: (111,) float32.
    """
    small = cv2.resize(patch[_ROWS], _SIZE, interpolation=cv2.INTER_AREA).ravel()
    (mean, spread), (light, contrast) = mean_and_std(small), mean_and_std(patch)
    contrast = math.log1p(contrast)
    of_light = np.array((contrast, contrast * contrast, light / 64), np.float32)
    return np.concatenate([(small - mean) / (spread + _NOISE), of_light])


def contrast_and_sharpness(patch: npt.NDArray[np.float32]) -> tuple[float, float]:
    """
    Give the smoothed contrast, and which share of it is in small details.

    :param patch: (32, 32) grey values.
    :returns: standard deviation [grey levels]; share, 0..1.
    """
    smooth = cv2.GaussianBlur(patch, (0, 0), 1.0)
    contrast = mean_and_std(smooth)[1]
    details = mean_and_std(smooth - cv2.GaussianBlur(patch, (0, 0), 2.5))[1]
    return contrast, details / max(contrast, 1e-3)


@cache
def _numbers() -> Mapping[str, npt.NDArray[np.float32]]:
    with np.load(_NUMBERS) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def cover_odds(part: Part, patch: npt.NDArray[np.float32]) -> float:
    """
    Give the log-odds that a part is covered: by glasses, a hand, hair, a mask.

    :param patch: (32, 32) grey values of the part.
    """
    numbers = _numbers()
    hidden = np.tanh(features(patch) @ numbers[f'{part.name}_in'] + numbers[f'{part.name}_bias'])
    return float(hidden @ numbers[f'{part.name}_out'][:-1] + numbers[f'{part.name}_out'][-1])


@dataclass(frozen=True)
class _Looked:
    """What was seen of a face when it was looked at last."""

    stamp_s: float
    views: FaceViews
    odds: tuple[float, ...] = ()


class FaceViewer:
    """
    Looks at the faces of a stream; what covers them is judged over a short time.

    :param settings: limits.
    """

    def __init__(self, settings: ViewSettings | None = None) -> None:
        self.settings = settings or ViewSettings()
        self.reset()

    def reset(self) -> None:
        """Forget all faces."""
        self._looked: dict[str, _Looked] = {}

    def observe(
        self,
        image: npt.NDArray[np.uint8],
        faces: Sequence[tuple[str, npt.NDArray | None]],
        stamp_s: float,
        waiting: Collection[str] = (),
    ) -> list[FaceViews]:
        """
        Look at the faces of the stream's next image.

        :param image: (H, W, 3) uint8 RGB.
        :param faces: id and landmarks (468 or more, 2 or 3) of each, None without.
        :param stamp_s: header time [s]; NaN: a picture that belongs to no stream.
        :param waiting: ids of further faces that are there.
        """
        settings = self.settings
        views = []
        for face_id, landmarks in faces:
            before = self._looked.get(face_id, _Looked(math.nan, FaceViews()))
            elapsed_s = stamp_s - before.stamp_s
            if not 0 <= elapsed_s < settings.period_s:
                # 0 also where a picture stands alone, or time went backwards
                keep = math.exp(-elapsed_s / settings.memory_s) if settings.memory_s else 0.0
                keep = keep if elapsed_s >= 0 else 0.0
                before = self._look_at(image, landmarks, stamp_s, before, keep)
                self._looked[face_id] = before
            views.append(before.views)
        here = {face_id for face_id, _ in faces}.union(waiting)
        self._looked = {
            face_id: looked
            for face_id, looked in self._looked.items()
            if face_id in here or 0 <= stamp_s - looked.stamp_s < settings.period_s
        }
        return views

    def _look_at(
        self,
        image: npt.NDArray[np.uint8],
        landmarks_px: npt.NDArray | None,
        stamp_s: float,
        before: _Looked,
        keep: float,
    ) -> _Looked:
        if landmarks_px is None:
            return _Looked(stamp_s, FaceViews())
        views, all_odds = [], []
        was = (before.views.right_eye, before.views.left_eye, before.views.mouth)
        for i, part in enumerate((RIGHT_EYE, LEFT_EYE, MOUTH)):
            odds = before.odds[i] if before.odds else math.nan
            view, odds = self._look(image, part, landmarks_px, was[i], odds, keep)
            views.append(view)
            all_odds.append(odds)
        right, left, mouth = views
        return _Looked(stamp_s, FaceViews(right, left, mouth), tuple(all_odds))

    def _look(
        self,
        image: npt.NDArray[np.uint8],
        part: Part,
        landmarks_px: npt.NDArray,
        was: View,
        odds_before: float,
        keep: float,
    ) -> tuple[View, float]:
        settings = self.settings
        height, width = image.shape[:2]
        if not part.lies_in((width, height), landmarks_px):
            return View.OUTSIDE, math.nan
        patch = part.patch(image, landmarks_px)
        if patch is None:
            return View.OUTSIDE, math.nan
        odds = cover_odds(part, patch)
        if not math.isnan(odds_before):
            odds = keep * odds_before + (1 - keep) * odds
        margin = settings.cover_margin if was is View.COVERED else 0.0
        if odds > settings.cover_odds - margin:
            return View.COVERED, odds
        contrast, sharpness = contrast_and_sharpness(patch)
        if contrast < settings.min_contrast:
            return View.DARK, odds
        if part is not MOUTH and sharpness < settings.min_sharpness:
            return View.BLURRED, odds
        return View.SEEN, odds
