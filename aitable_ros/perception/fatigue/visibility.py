# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a face can be seen well enough to say anything about its eyes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from aitable_ros.perception.faces.face_views import FaceViews, View
from aitable_ros.perception.maths.settings import Settings, setting


class Visibility(IntEnum):
    """What an image could tell about the eyes; anything but MEASURED: they are UNKNOWN."""

    MEASURED = 0
    NO_FACE = 1
    LOW_PRESENCE = 2
    TOO_SMALL = 3
    TURNED = 4
    PITCHED = 5
    EYES_OUTSIDE = 6
    EYES_DARK = 7
    EYES_BLURRED = 8
    EYES_COVERED = 9


_UNSEEN_EYES = {
    View.OUTSIDE: Visibility.EYES_OUTSIDE,
    View.DARK: Visibility.EYES_DARK,
    View.BLURRED: Visibility.EYES_BLURRED,
    View.COVERED: Visibility.EYES_COVERED,
}


@dataclass(frozen=True)
class VisibilitySettings(Settings):
    """
    From where on the eyes are not measured.

    Each limit has hysteresis: an eye that is not measured has to be clearly within the limit to
    be measured again.

    :param min_presence: lowest presence of the landmarks (0.5: MediaPipe's default).
    :param presence_margin: ... and this much more to be measured again.
    :param min_eye_distance_px: fewest pixels between the eyes (20: an eye is then about ten
        pixels wide, and its opening three).
    :param size_margin: ... and this share more to be measured again.
    :param max_yaw_rad: farthest turn of the head [rad] (30 degrees: closures were missed from 20
        to 22 on with landmarks that hardly see lids, tracky-mouse issue 98; the far eye is
        foreshortened by 13 %).
    :param max_pitch_down_rad: farthest pitch down [rad] (28 degrees: choice; open eyes were
        measured at 0.07 to 0.16 looking down, irlume issue 173, as low as closed ones).
    :param max_pitch_up_rad: farthest pitch up [rad] (28 degrees: choice).
    :param angle_margin_rad: ... and this much less to be measured again [rad].
    :param one_eye_s: after so long with only one eye seen, or open, it decides alone [s] (10:
        choice; longer than any wink).
    :raises ValueError: for a value out of range.
    """

    min_presence: float = setting(0.5, 0.0, 1.0)
    presence_margin: float = setting(0.1, 0.0, 0.5)
    min_eye_distance_px: float = setting(20.0, 0.0, 500.0)
    size_margin: float = setting(0.1, 0.0, 1.0)
    max_yaw_rad: float = setting(math.radians(30.0), 0.1, 1.57)
    max_pitch_down_rad: float = setting(math.radians(28.0), 0.1, 1.57)
    max_pitch_up_rad: float = setting(math.radians(28.0), 0.1, 1.57)
    angle_margin_rad: float = setting(math.radians(3.0), 0.0, 0.5)
    one_eye_s: float = setting(10.0, 0.5, 600.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.angle_margin_rad < min(
            self.max_yaw_rad, self.max_pitch_down_rad, self.max_pitch_up_rad
        ):
            raise ValueError(f'need angle_margin_rad below every limit of an angle: {self}')


class FaceView(NamedTuple):
    """
    How a face is seen in one image.

    :ivar presence: how sure the landmark network is that there is a face, 0..1; NaN: there are
        no landmarks.
    :ivar eye_distance_px: between the middles of the eyes [pixels]; NaN: not checked.
    :ivar yaw_rad: of the head, 0 facing the camera [rad]; NaN: unknown, not checked.
    :ivar pitch_rad: of the head, down is positive [rad]; NaN: unknown, not checked.
    :ivar parts: what the image shows of eyes and mouth.
    """

    presence: float = 1.0
    eye_distance_px: float = math.nan
    yaw_rad: float = math.nan
    pitch_rad: float = math.nan
    parts: FaceViews = FaceViews()


class VisibilityGate:
    """
    Decides for one person, image by image, whether the eyes can be measured.

    :param settings: limits and margins.
    """

    def __init__(self, settings: VisibilitySettings | None = None) -> None:
        self.settings = settings or VisibilitySettings()
        self.last = Visibility.MEASURED

    def reset(self) -> None:
        """Forget the last verdict."""
        self.last = Visibility.MEASURED

    def update(self, view: FaceView) -> Visibility:
        """Judge a view and take it in."""
        self.last = self._judge(view)
        return self.last

    def _judge(self, view: FaceView) -> Visibility:
        settings = self.settings
        last = self.last
        if math.isnan(view.presence):
            return Visibility.NO_FACE
        margin = settings.presence_margin if last is Visibility.LOW_PRESENCE else 0.0
        if view.presence < min(settings.min_presence + margin, 1.0):
            return Visibility.LOW_PRESENCE
        margin = settings.size_margin if last is Visibility.TOO_SMALL else 0.0
        if view.eye_distance_px < settings.min_eye_distance_px * (1 + margin):
            return Visibility.TOO_SMALL
        margin = settings.angle_margin_rad if last is Visibility.TURNED else 0.0
        if abs(view.yaw_rad) > settings.max_yaw_rad - margin:
            return Visibility.TURNED
        margin = settings.angle_margin_rad if last is Visibility.PITCHED else 0.0
        if (
            view.pitch_rad > settings.max_pitch_down_rad - margin
            or view.pitch_rad < margin - settings.max_pitch_up_rad
        ):
            return Visibility.PITCHED
        eyes = (view.parts.left_eye, view.parts.right_eye)
        return Visibility.MEASURED if View.SEEN in eyes else _UNSEEN_EYES[max(eyes)]
