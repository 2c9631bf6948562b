# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What can be seen in an image at all: why people are not found, in words that one can act on.

Light is told by the grey values' distribution, sharpness by the Laplacian's variance, the usual
measure of focus (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000),
here over the image's own variance, so that a dull scene is not called blurred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.maths.settings import Settings, setting

_SIZE_PX = (160, 120)
_FACE_PX = (64, 64)
_SMALL_PX = (20, 15)
_GRADIENT_PX = 3.0
_WHITE = 250


class Seeing(IntEnum):
    """What can be seen in an image; anything but CLEAR is something that a person can mend."""

    CLEAR = 0
    TOO_DARK = 1
    GLARE = 2
    BLURRED = 3
    COVERED = 4


IN_WORDS = {
    Seeing.CLEAR: '',
    Seeing.TOO_DARK: 'it is too dark',
    Seeing.GLARE: 'the light is too bright',
    Seeing.BLURRED: 'the picture is blurred',
    Seeing.COVERED: 'the camera is covered',
}


@dataclass(frozen=True)
class SeeingSettings(Settings):
    """
    From where on an image or a face is badly seen.

    :param dark_level: 95 in 100 pixels are darker: too dark [grey levels] (40: choice).
    :param white_share: this share of the image is overexposed: glare (0.3: choice; a window fills
        a fifth).
    :param face_white_share: the same of a face (0.15: choice).
    :param min_sharpness: standard deviation of the Laplacian over that of the grey values
        (image 160 pixels wide) (0.12: choice, see docs/seeing.md).
    :param min_shapes: standard deviation of what is left of the image at 20 x 15 pixels, without
        its slow gradients [grey levels] (1.7: choice); less: the lens is covered, or there is no
        light.
    :param confirm_s: another state of the image is taken when it has held for this long [s].
    :param period_s: images are looked at this often [s].
    :raises ValueError: for a value out of range.
    """

    dark_level: float = setting(40.0, 0.0, 255.0)
    white_share: float = setting(0.3, 0.0, 1.0)
    face_white_share: float = setting(0.15, 0.0, 1.0)
    min_sharpness: float = setting(0.12, 0.0, 10.0)
    min_shapes: float = setting(1.7, 0.0, 100.0)
    confirm_s: float = setting(1.0, 0.0, 60.0)
    period_s: float = setting(0.5, 0.0, 60.0)


@dataclass(frozen=True)
class Measures:
    """
    What the verdict follows from.

    :param light: 95th percentile of the grey values.
    :param white: share of overexposed pixels, 0..1.
    :param sharpness: standard deviation of the Laplacian over that of the grey values.
    :param shapes: standard deviation of the image at 20 x 15 pixels without its slow gradients
        [grey levels].
    """

    light: float
    white: float
    sharpness: float
    shapes: float


def mean_and_std(values: npt.NDArray) -> tuple[float, float]:
    """
    Return mean and standard deviation: of a small patch in a twentieth of NumPy's time.

    :param values: (H, W) or (N,) uint8 or float32; not empty.
    """
    mean, std = cv2.meanStdDev(values)
    return mean.item(), std.item()


def measure(image: npt.NDArray[np.uint8], size_px: tuple[int, int] = _SIZE_PX) -> Measures:
    """
    Measure an image.

    :param image: (H, W, 3) uint8 RGB, not empty.
    :param size_px: width and height that it is looked at in.
    """
    # nearest pixels first: what is thrown away need not be averaged
    step = max(1, min(image.shape[1] // (2 * size_px[0]), image.shape[0] // (2 * size_px[1])))
    # green is most of what is called grey
    thin = np.ascontiguousarray(image[::step, ::step, 1])
    grey = np.asarray(cv2.resize(thin, size_px, interpolation=cv2.INTER_AREA), np.uint8)
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256])[:, 0]
    light = float(np.searchsorted(np.cumsum(counts), 0.95 * grey.size))
    spread = mean_and_std(grey)[1]
    edges = mean_and_std(cv2.Laplacian(grey, cv2.CV_32F))[1]
    small = cv2.resize(grey, _SMALL_PX, interpolation=cv2.INTER_AREA).astype(np.float32)
    shapes = mean_and_std(small - cv2.GaussianBlur(small, (0, 0), _GRADIENT_PX))[1]
    return Measures(
        light,
        float(counts[_WHITE:].sum()) / grey.size,
        edges / max(spread, 1.0),
        shapes,
    )


class SeeingObserver:
    """
    The seeing conditions of a stream.

    :param settings: limits.
    """

    def __init__(self, settings: SeeingSettings | None = None) -> None:
        self.settings = settings or SeeingSettings()
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self.seeing = Seeing.CLEAR
        self._other = Seeing.CLEAR
        self._other_since_s = math.nan
        self._looked_s = math.nan
        self.due = True
        self._of_faces: dict[str, Seeing] = {}

    def observe(self, image: npt.NDArray[np.uint8], stamp_s: float) -> Seeing:
        """
        Judge the stream's next image.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: header time [s]; NaN: a picture that belongs to no stream.
        """
        self.due = not 0.0 <= stamp_s - self._looked_s < self.settings.period_s
        if not self.due:
            return self.seeing
        first = math.isnan(self._looked_s) or not stamp_s >= self._looked_s
        self._looked_s = stamp_s
        found = self._judge(measure(image))
        if found is self.seeing or first:
            self.seeing, self._other_since_s = found, math.nan
            return self.seeing
        if found is not self._other or math.isnan(self._other_since_s):
            self._other, self._other_since_s = found, stamp_s
        if stamp_s - self._other_since_s >= self.settings.confirm_s:
            self.seeing, self._other_since_s = found, math.nan
        return self.seeing

    def of_face(
        self, image: npt.NDArray[np.uint8], face_id: str, xywh_px: npt.NDArray[np.float32]
    ) -> Seeing:
        """
        Judge a face of the image that was observed last.

        :param image: that image.
        :param face_id: whose.
        :param xywh_px: (4,) its box.
        """
        if not self.due and face_id in self._of_faces:
            return self._of_faces[face_id]
        if self.due:
            self._of_faces.pop(face_id, None)
        x, y, width, height = np.round(np.nan_to_num(np.clip(xywh_px, -1e6, 1e6))).astype(int)
        face = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        seen = Seeing.CLEAR
        if face.size:
            measures = measure(face, _FACE_PX)
            if measures.light < self.settings.dark_level:
                seen = Seeing.TOO_DARK
            elif measures.white > self.settings.face_white_share:
                seen = Seeing.GLARE
        self._of_faces[face_id] = seen
        if len(self._of_faces) > 64:  # ids of those who left
            del self._of_faces[next(iter(self._of_faces))]
        return seen

    def _judge(self, measures: Measures) -> Seeing:
        settings = self.settings
        if measures.shapes < settings.min_shapes:
            return Seeing.COVERED
        if measures.light < settings.dark_level:
            return Seeing.TOO_DARK
        if measures.white > settings.white_share:
            return Seeing.GLARE
        return Seeing.BLURRED if measures.sharpness < settings.min_sharpness else Seeing.CLEAR
