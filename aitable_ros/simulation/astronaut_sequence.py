# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The sample sequence, made from scikit-image's public-domain portrait of Eileen Collins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.simulation.eyelids import LEFT_EYE, RIGHT_EYE, Eye, EyelidPainter
from aitable_ros.simulation.lid_motion import PERIOD_S, closures_until, openness_at

# In the picture, in pixels: the tight box around FaceMesh's 468 landmarks, and its roll (the eyes
# are not quite level). Measured once with that network.
_FACE_CENTER_PX = (225.5, 123.0)
_FACE_SIZE_PX = (95.0, 108.0)

_MAGNIFICATION = 2
_OPENNESS_STEPS = 64

# The motion is laid out for this frame size and scales with other ones.
_NOMINAL_SIZE_PX = (640, 480)
_FACE_WIDTH_PX = (120.0, 260.0)
_SWAY_PX = (80.0, 30.0)
_ROLL_MAX_RAD = math.radians(20.0)
_BRIGHTNESS = (0.45, 1.2)
_TINT = 0.08

# Beyond its border the picture goes on as a blur of its border, into which it fades over this
# width; the blur reaches as far as the frames see.
_FADE_PX = 32
_SURROUND_PX = 240


@dataclass(frozen=True)
class HeadPlacement:
    """
    Where the head is in one frame.

    :param center_px: (x, y) centre of the face in pixels of the frame.
    :param face_width_px: width of the upright face (its landmarks) in pixels of the frame.
    :param roll_rad: in-plane rotation of the picture, clockwise as seen is positive.
    """

    center_px: tuple[float, float]
    face_width_px: float
    roll_rad: float


class AstronautSequence:
    """
    A video of a face that moves, comes near, tilts and blinks in changing light.

    The frames are made on demand from one still picture, ``skimage.data.astronaut()`` (NASA,
    public domain): frame by frame its eyelids are warped, the picture is moved, scaled and
    rotated, and its brightness and tint are changed. Everything is a function of time: the same
    frame is the same array in any order and from any thread.

    The face (landmark width) is 120 to 260 px wide at 640 x 480, rolls by up to 20 degrees to
    either side, and gets 0.45 to 1.2 of the picture's brightness. One period of 20 s has eight
    blinks of 100 to 400 ms, one closure of 2 s, and two moments of narrowed eyes that are no
    closure.

    :param width: of the frames in pixels; at least 160.
    :param height: of the frames in pixels; at least 120.
    :param fps: frames per second; positive.
    :param duration_s: length in seconds, positive; the 20 s period repeats, and a closure that
        the end would cut is left out.
    :raises ValueError: when a parameter is out of range.
    :raises ImportError: when scikit-image is not installed.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        duration_s: float = 20.0,
    ) -> None:
        if width < 160 or height < 120:
            raise ValueError(f'expected at least 160 x 120 pixels, got {width} x {height}')
        if not (0 < fps < math.inf and 0 < duration_s < math.inf):
            raise ValueError(f'fps and duration must be positive, got {fps} and {duration_s}')
        self.width = width
        self.height = height
        self.fps = fps
        self._unit = min(width / _NOMINAL_SIZE_PX[0], height / _NOMINAL_SIZE_PX[1])
        self._length = max(1, round(duration_s * fps))
        self.duration_s = self._length / fps
        self.closures = closures_until(self.duration_s)
        """When both eyes are closed (openness at most 0.2), in order; the truth."""
        self._painter = EyelidPainter(_picture(), _MAGNIFICATION)
        self._background = _surround(self._painter.magnified)
        self._painted: dict[tuple[Eye, int], npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._length

    def openness(self, time_s: float) -> float:
        """
        Tell how far both eyes are open at a time; the truth.

        :param time_s: seconds from the first frame, as :meth:`stamp_s`.
        :returns: height of the lid opening relative to the open eye's: 0 shut .. 1 open.
        """
        return openness_at(time_s, self.closures)

    def stamp_s(self, index: int) -> float:
        """
        Tell a frame's time.

        :param index: 0 .. len - 1.
        :returns: seconds from the first frame.
        :raises IndexError: when there is no such frame.
        """
        if not 0 <= index < self._length:
            raise IndexError(f'frame {index} of a sequence of {self._length}')
        return index / self.fps

    def head(self, index: int) -> HeadPlacement:
        """
        Tell where the head is in a frame; the truth.

        :param index: 0 .. len - 1.
        :returns: its place, size and roll.
        :raises IndexError: when there is no such frame.
        """
        phase = 2 * math.pi * self.stamp_s(index) / PERIOD_S
        narrow, wide = _FACE_WIDTH_PX
        # Geometric in between: the same time is spent on every doubling of the size.
        width = narrow * (wide / narrow) ** (0.5 - 0.5 * math.cos(phase))
        return HeadPlacement(
            center_px=(
                self.width / 2 + self._unit * _SWAY_PX[0] * math.sin(2 * phase + 0.4),
                self.height / 2 + self._unit * _SWAY_PX[1] * math.sin(3 * phase + 1.1),
            ),
            face_width_px=self._unit * width,
            roll_rad=_ROLL_MAX_RAD * math.sin(3 * phase),
        )

    def picture_to_frame(self, index: int) -> npt.NDArray[np.float64]:
        """
        Tell how the still picture lies in a frame; the truth.

        :param index: 0 .. len - 1.
        :returns: (2, 3) affine matrix from pixels of ``skimage.data.astronaut()`` to pixels of
            the frame; whole numbers are pixel centres in both.
        :raises IndexError: when there is no such frame.
        """
        head = self.head(index)
        scale = head.face_width_px / _FACE_SIZE_PX[0]
        cos, sin = scale * math.cos(head.roll_rad), scale * math.sin(head.roll_rad)
        (from_x, from_y), (to_x, to_y) = _FACE_CENTER_PX, head.center_px
        return np.array(
            [
                [cos, -sin, to_x - cos * from_x + sin * from_y],
                [sin, cos, to_y - sin * from_x - cos * from_y],
            ]
        )

    def frame(self, index: int) -> npt.NDArray[np.uint8]:
        """
        Make a frame.

        :param index: 0 .. len - 1.
        :returns: (height, width, 3) uint8 RGB, the caller's own.
        :raises IndexError: when there is no such frame.
        """
        time_s = self.stamp_s(index)
        # Magnified pixel m lies at (m + 0.5) / magnification - 0.5 of the picture.
        matrix = self.picture_to_frame(index)
        matrix[:, 2] += matrix[:, :2] @ np.full(2, 0.5 / _MAGNIFICATION - 0.5)
        matrix[:, :2] /= _MAGNIFICATION

        warped = cv2.warpAffine(
            self._background,
            _from_origin(matrix, np.full(2, -_SURROUND_PX * _MAGNIFICATION)),
            (self.width, self.height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        frame = np.asarray(warped, np.uint8)
        step = round(self.openness(time_s) * _OPENNESS_STEPS)
        if step < _OPENNESS_STEPS:
            for eye in (LEFT_EYE, RIGHT_EYE):
                self._place(eye, step, matrix, frame)
        return _light(frame, time_s)

    def _place(
        self,
        eye: Eye,
        openness_step: int,
        matrix: npt.NDArray[np.float64],
        frame: npt.NDArray[np.uint8],
    ) -> None:
        """Put a painted eye over the frame's open one."""
        painted = self._painted.get((eye, openness_step))
        if painted is None:
            painted = self._painter.paint(eye, openness_step / _OPENNESS_STEPS)
            self._painted[eye, openness_step] = painted
        rows, columns = painted.shape[:2]
        origin = np.array(eye.box_px[:2], dtype=np.float64) * _MAGNIFICATION
        corners = np.array([(0, 0), (columns, 0), (0, rows), (columns, rows)]) + origin
        reached = corners @ matrix[:, :2].T + matrix[:, 2]
        x0, y0 = np.maximum(np.floor(reached.min(axis=0)).astype(int), 0)
        x1, y1 = np.minimum(
            np.ceil(reached.max(axis=0)).astype(int) + 1, (self.width, self.height)
        )
        if x1 <= x0 or y1 <= y0:
            return
        into_part = _from_origin(matrix, origin)
        into_part[:, 2] -= (x0, y0)
        part = np.ascontiguousarray(frame[y0:y1, x0:x1])
        frame[y0:y1, x0:x1] = cv2.warpAffine(
            painted,
            into_part,
            (x1 - x0, y1 - y0),
            dst=part,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )


def _picture() -> npt.NDArray[np.uint8]:
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            'the built-in sample needs scikit-image: pip install scikit-image'
        ) from error
    return data.astronaut()


def _from_origin(matrix: npt.NDArray[np.float64], origin: npt.NDArray) -> npt.NDArray[np.float64]:
    """Turn an affine matrix for points p into the one for points p - origin."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ origin
    return moved


def _surround(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Continue a magnified picture on all sides by ``_SURROUND_PX``, without streaks."""
    height, width = picture.shape[:2]
    margin = _SURROUND_PX * _MAGNIFICATION
    canvas = cv2.copyMakeBorder(
        picture, margin, margin, margin, margin, borderType=cv2.BORDER_REPLICATE
    )
    size = (canvas.shape[1], canvas.shape[0])
    # A wide blur, computed where it is cheap: on a small copy.
    small = cv2.resize(canvas, (size[0] // 16, size[1] // 16), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 5.0, borderType=cv2.BORDER_REPLICATE)
    blur = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    from_side = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in (height, width)]
    inward = np.minimum(from_side[0][:, None], from_side[1][None]) / (_FADE_PX * _MAGNIFICATION)
    own = np.clip(inward, 0, 1).astype(np.float32)[..., None]
    inside = slice(margin, margin + height), slice(margin, margin + width)
    blur[inside] = np.rint(own * picture + (1 - own) * blur[inside]).astype(np.uint8)
    return blur


def _light(frame: npt.NDArray[np.uint8], time_s: float) -> npt.NDArray[np.uint8]:
    """Change brightness and tint, as lamps and clouds would."""
    phase = 2 * math.pi * time_s / PERIOD_S
    dim, bright = _BRIGHTNESS
    brightness = dim * (bright / dim) ** (0.5 + 0.5 * math.sin(2 * phase + 1.0))
    warmth = _TINT * math.sin(3 * phase + 2.0)
    gains = brightness * np.array([1 + warmth, 1.0, 1 - warmth])
    levels = np.clip(np.rint(np.arange(256)[:, None] * gains), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(frame, levels[None]), np.uint8)
