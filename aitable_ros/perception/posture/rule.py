# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
One verdict on how a person sits: a small rule with hysteresis and dwell times.

The most serious line that applies:

* AWAY: nobody was found for ``away_after_s``;
* TOO_CLOSE: the eyes are nearer than ``min_distance_m`` to the camera or ``min_desk_m`` to the
  desk;
* LEANING_FORWARD: the trunk is inclined by ``lean_pitch_rad`` more than upright, or the eyes have
  come forward by ``lean_forward_m``;
* SLOUCHING: the neck is shorter by ``slouch_ratio``, or the eyes are lower by ``drop_m``, or the
  head is ``forward_head_rad`` farther forward;
* TILTED: shoulders, trunk or head are inclined to the side by so much more than upright;
* UPRIGHT: none of these, and enough is known to say so: a calibrated posture, the shoulders, and
  one measure of leaning or slouching;
* UNKNOWN: otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aitable_ros.perception.maths.rotation import Vector
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.posture.angles import PostureAngles
from aitable_ros.perception.posture.calibration import UprightPosture
from aitable_ros.perception.posture.states import Posture


@dataclass(frozen=True)
class RuleSettings(Settings):
    """
    Thresholds of the rule; 0 turns a line off. 'More' is than at calibration.

    :param lean_pitch_rad: trunk this much more inclined forward [rad] (20 degrees: where trunk
        flexion scores higher in RULA, McAtamney and Corlett 1993; without calibration it counts
        from the vertical).
    :param lean_forward_m: eyes this much farther forward [m] (0.15: choice; what a trunk of 0.6 m
        inclined by 15 degrees does).
    :param slouch_ratio: share of the calibrated neck ratio that is lost (0.2: choice).
    :param drop_m: eyes this much lower [m] (0.05: choice; sitting slumped lowers the sitting
        height by about as much).
    :param forward_head_rad: head this much farther forward [rad] (15 degrees: choice; the
        craniovertebral angles of people with and without neck pain differ by 7 degrees on
        average, Lau et al. 2009).
    :param shoulder_tilt_rad: shoulders this much inclined to the side [rad] (8 degrees: choice).
    :param trunk_roll_rad: trunk this much inclined to the side [rad] (10 degrees: choice).
    :param head_roll_rad: head this much inclined to the side [rad] (15 degrees: choice).
    :param min_distance_m: eyes nearer to the camera than this are too close [m] (0.4: least
        viewing distance of ISO 9241-5, from memory, for a camera beside the screen).
    :param min_desk_m: eyes lower above the desk than this are too close [m] (0.3: choice; pupils
        in China are taught one chi, 0.33 m, from eye to book).
    :param distance_margin_m: a distance is left when it is exceeded by this [m] (0.03: choice).
    :param leave_share: other lines are left below this share of their threshold (0.75:
        choice).
    :param enter_s: another posture is taken when the present one has not applied for this long
        [s] (2: choice; who reaches for a pencil does not slouch).
    :param upright_s: the same for UPRIGHT [s] (1: choice).
    :param unknown_after_s: a posture stands for so long without being measured [s] (1: choice).
    :param away_after_s: AWAY when nobody was found for this long [s] (2: choice).
    :param too_close_after_s: being too close for this long is worth a warning [s] (5: choice).
    :raises ValueError: for a value out of range.
    """

    lean_pitch_rad: float = setting(math.radians(20.0), 0.0, 1.57)
    lean_forward_m: float = setting(0.15, 0.0, 1.0)
    slouch_ratio: float = setting(0.2, 0.0, 1.0)
    drop_m: float = setting(0.05, 0.0, 0.5)
    forward_head_rad: float = setting(math.radians(15.0), 0.0, 1.57)
    shoulder_tilt_rad: float = setting(math.radians(8.0), 0.0, 1.57)
    trunk_roll_rad: float = setting(math.radians(10.0), 0.0, 1.57)
    head_roll_rad: float = setting(math.radians(15.0), 0.0, 1.57)
    min_distance_m: float = setting(0.4, 0.0, 2.0, basic=True)
    min_desk_m: float = setting(0.3, 0.0, 1.0, basic=True)
    distance_margin_m: float = setting(0.03, 0.0, 0.5)
    leave_share: float = setting(0.75, 0.0, 1.0)
    enter_s: float = setting(2.0, 0.0, 60.0)
    upright_s: float = setting(1.0, 0.0, 60.0)
    unknown_after_s: float = setting(1.0, 0.0, 60.0)
    away_after_s: float = setting(2.0, 0.0, 600.0)
    too_close_after_s: float = setting(5.0, 0.0, 600.0)


@dataclass(frozen=True)
class PostureSigns:
    """
    What the rule looks at. NaN: not measured.

    :param present: whether anybody was found in this image.
    :param angles: smoothed.
    :param slouch: share of the calibrated neck ratio that is lost.
    :param moved_m: of the eyes since calibration, forward, left, up in the level frame [m].
    :param camera_distance_m: of the eyes [m].
    :param eye_desk_m: height of the eyes above the desk [m].
    :param upright: the calibrated posture; None: there is none.
    """

    present: bool
    angles: PostureAngles
    slouch: float
    moved_m: Vector
    camera_distance_m: float
    eye_desk_m: float
    upright: UprightPosture | None


class PostureRule:
    """
    The rule with its memory, for one person.

    :param settings: thresholds.
    """

    def __init__(self, settings: RuleSettings | None = None) -> None:
        self.settings = settings or RuleSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.state = Posture.UNKNOWN
        self.reason = 'nothing was seen yet'
        self._since_s = self._apart_s = math.nan
        self._absent_s = math.nan
        self._on: set[str] = set()
        self._close_since_s = self._close_known_s = math.nan

    def update(self, stamp_s: float, signs: PostureSigns) -> Posture:
        """
        Judge.

        :param stamp_s: header time [s]; must not go back.
        :param signs: what this image showed.
        :returns: the posture; :attr:`reason` tells why, for people.
        """
        settings = self.settings
        if math.isnan(self._since_s):
            self._since_s = stamp_s
        if signs.present:
            self._absent_s = math.nan
        elif math.isnan(self._absent_s):
            self._absent_s = stamp_s
        found, reason = self._applies(signs)
        if not signs.present and stamp_s - self._absent_s >= settings.away_after_s:
            self._take(stamp_s, Posture.AWAY, 'nobody is there')
        elif self.state is Posture.AWAY and not signs.present:
            self._apart_s = math.nan
        elif found is self.state:
            self._apart_s = math.nan
            self.reason = reason
        else:
            if math.isnan(self._apart_s):
                self._apart_s = stamp_s
            self._take_after(stamp_s, found, reason)
        self._time_closeness(stamp_s, signs)
        return self.state

    def state_s(self, stamp_s: float) -> float:
        """Tell how long the state has lasted [s]."""
        return stamp_s - self._since_s

    def too_close_s(self, stamp_s: float) -> float:
        """Tell how long the eyes have been too close [s]; 0: they are not; NaN: unknown."""
        if math.isnan(self._close_known_s):
            return math.nan
        if math.isnan(self._close_since_s):
            return 0.0
        return stamp_s - self._close_since_s

    def _take_after(self, stamp_s: float, found: Posture, reason: str) -> None:
        settings = self.settings
        if found is Posture.UNKNOWN:
            wait_s = settings.unknown_after_s
        elif found is Posture.UPRIGHT or self.state in (Posture.UNKNOWN, Posture.AWAY):
            wait_s = settings.upright_s
        else:
            wait_s = settings.enter_s
        if stamp_s - self._apart_s >= wait_s:
            self._take(stamp_s, found, reason)

    def _take(self, stamp_s: float, state: Posture, reason: str) -> None:
        if state is not self.state:
            self._since_s = stamp_s
        self.state, self.reason = state, reason
        self._apart_s = math.nan

    def _time_closeness(self, stamp_s: float, signs: PostureSigns) -> None:
        known = not (math.isnan(signs.camera_distance_m) and math.isnan(signs.eye_desk_m))
        if not known:
            if not stamp_s - self._close_known_s <= self.settings.unknown_after_s:
                self._close_since_s = self._close_known_s = math.nan
            return
        self._close_known_s = stamp_s
        if not self._on & {'camera', 'desk'}:
            self._close_since_s = math.nan
        elif math.isnan(self._close_since_s):
            self._close_since_s = stamp_s

    def _applies(self, signs: PostureSigns) -> tuple[Posture, str]:
        """Find the most serious line that applies, with hysteresis but without time."""
        if not signs.present:
            self._on.clear()
            return Posture.UNKNOWN, 'nobody was found'
        settings, upright, angles = self.settings, signs.upright, signs.angles
        close = []
        for name, distance_m, limit_m, words in (
            ('camera', signs.camera_distance_m, settings.min_distance_m, 'from the camera'),
            ('desk', signs.eye_desk_m, settings.min_desk_m, 'above the desk'),
        ):
            margin_m = settings.distance_margin_m if name in self._on else 0.0
            if self._note(name, limit_m > 0.0 and distance_m < limit_m + margin_m):
                close.append(f'eyes {distance_m:.2f} m {words}')

        def change(name: str) -> float:
            return math.nan if upright is None else upright.change(name, angles)

        # without calibration upright is where the vertical is; for a head it is not
        lean = angles.trunk_pitch_rad if upright is None else change('trunk_pitch_rad')
        forward_m, _, up_m = signs.moved_m
        forward_head = change('forward_head_rad')
        leaning = (
            ('lean', lean, settings.lean_pitch_rad, 'trunk {} forward'),
            ('forward', forward_m, settings.lean_forward_m, 'eyes {} forward'),
        )
        slouching = (
            ('slouch', signs.slouch, settings.slouch_ratio, 'neck {} shorter'),
            ('drop', -up_m, settings.drop_m, 'eyes {} lower'),
            ('head', forward_head, settings.forward_head_rad, 'head {} forward'),
        )
        tilts = []
        for name, limit, part in (
            ('shoulder_tilt_rad', settings.shoulder_tilt_rad, 'shoulders'),
            ('trunk_roll_rad', settings.trunk_roll_rad, 'trunk'),
            ('head_roll_rad', settings.head_roll_rad, 'head'),
        ):
            angle = getattr(angles, name) if upright is None else change(name)
            side = 'right' if angle > 0 else 'left'
            tilts.append((name, abs(angle), limit, f'{part} {{}} to the {side}'))
        # every line is looked at, for each has its own hysteresis
        hits = [(Posture.TOO_CLOSE, close)] + [
            (
                posture,
                [
                    words.format(_worded(name, value))
                    for name, value, limit, words in lines
                    if self._exceeds(name, value, limit)
                ],
            )
            for posture, lines in (
                (Posture.LEANING_FORWARD, leaning),
                (Posture.SLOUCHING, slouching),
                (Posture.TILTED, tuple(tilts)),
            )
        ]
        for posture, reasons in hits:
            if reasons:
                return posture, ', '.join(reasons)
        if upright is None:
            return Posture.UNKNOWN, 'the upright posture is not calibrated'
        if math.isnan(angles.shoulder_tilt_rad):
            return Posture.UNKNOWN, 'the shoulders are not seen'
        if all(math.isnan(value) for _, value, _, _ in (*leaning, *slouching)):
            return Posture.UNKNOWN, 'nothing tells leaning and slouching'
        return Posture.UPRIGHT, 'as calibrated'

    def _exceeds(self, name: str, value: float, limit: float) -> bool:
        share = self.settings.leave_share if name in self._on else 1.0
        return self._note(name, limit > 0.0 and value >= share * limit)

    def _note(self, name: str, on: bool) -> bool:
        if on:
            self._on.add(name)
        else:
            self._on.discard(name)
        return on


def _worded(name: str, value: float) -> str:
    if name in ('forward', 'drop'):
        return f'{value * 100:.0f} cm'
    if name == 'slouch':
        return f'{value:.0%}'
    return f'{math.degrees(value):.0f} degrees'
