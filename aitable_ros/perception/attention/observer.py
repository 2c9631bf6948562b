# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Attention: the faces of an image and their head poses in, where each looks out; and events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aitable_ros.perception.attention.gaze import Gaze, GazeSettings, GazeState, GazeTracker
from aitable_ros.perception.attention.monitor import (
    AttentionMonitor,
    AttentionState,
    MonitorSettings,
    Source,
)
from aitable_ros.perception.attention.presence import Presence, PresenceSettings
from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.events import EventKind, PersonEvent
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.faces.people import People
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.perception.images.seeing import IN_WORDS, Seeing
from aitable_ros.perception.images.stream_order import StreamOrder
from aitable_ros.perception.maths.settings import Settings, setting

_WHY = {
    GazeState.MEASURED: '',
    GazeState.NO_HEAD: 'the head is not measured',
    GazeState.NO_IRISES: 'the irises are not measured',
    GazeState.TOO_SMALL: 'the eyes are too small',
    GazeState.TURNED: 'the head is turned away',
    GazeState.EYES_UNSEEN: 'the eyes are not seen',
    GazeState.EYES_CLOSED: 'the lids hide the irises',
    GazeState.EYES_DISAGREE: 'the eyes look apart',
}

_AS_THEY_ARE = (
    *('zone', 'zone_s', 'source', 'natural', 'observed_s', 'front_share', 'desk_share'),
    *('away_share', 'since_away_s'),
)
"""Fields of an AttentionState that are written under their own names."""


@dataclass(frozen=True)
class LookSettings(Settings):
    """
    Which looks away are events.

    :param min_away_s: shorter ones are none [s] (1: choice).
    :raises ValueError: for a value out of range.
    """

    min_away_s: float = setting(1.0, 0.0, 3600.0)


@dataclass(frozen=True)
class AttentionSettings:
    """
    How attention is measured.

    :param gaze: limits and smoothing of the gaze.
    :param monitor: zones, natural direction and window.
    :param looks: which looks away are events.
    :param presence: when somebody came and has left.
    """

    gaze: GazeSettings = field(default_factory=GazeSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    looks: LookSettings = field(default_factory=LookSettings)
    presence: PresenceSettings = field(default_factory=PresenceSettings)


@dataclass(frozen=True, eq=False)
class AttentionReading:
    """
    What is known of one face after one image.

    :param face: whose.
    :param gaze: where the eyes look.
    :param state: what that means, over time.
    :param window_s: length of the window [s].
    :param backend: what found the face.
    """

    face: TrackedFace
    gaze: Gaze
    state: AttentionState
    window_s: float
    backend: str = ''

    @property
    def reason(self) -> str:
        """Tell, for people, from where the zone is known, or why it is not."""
        if self.state.source is Source.GAZE:
            return 'from the eyes'
        seeing = IN_WORDS[self.face.views.seeing]
        why = _WHY[self.gaze.state] + (f', {seeing}' if seeing else '')
        return f'from the head: {why}' if self.state.source is Source.HEAD else why

    def fields(self) -> dict[str, Any]:
        """
        Return what is published, by the names and in the units of aitable_msgs/Attention.

        The direction as a vector is in ``gaze``. NaN: not measured, or not valid.
        """
        gaze, state = self.gaze, self.state
        eyes = {
            f'{side}_eye_{angle}': getattr(eye, f'{angle}_rad') if eye else math.nan
            for side, eye in (('right', gaze.right), ('left', gaze.left))
            for angle in ('yaw', 'pitch')
        }
        return {
            'gaze_state': gaze.state,
            'gaze_valid': gaze.state is GazeState.MEASURED,
            'gaze_yaw': gaze.yaw_rad,
            'gaze_pitch': gaze.pitch_rad,
            **eyes,
            **{name: getattr(state, name) for name in _AS_THEY_ARE},
            'zone_reason': self.reason,
            'yaw': state.yaw_rad,
            'pitch': state.pitch_rad,
            'natural_yaw': state.natural_yaw_rad,
            'natural_pitch': state.natural_pitch_rad,
            'window_s': self.window_s,
        }


class _Person:
    """What is kept of one face id."""

    def __init__(self, settings: AttentionSettings) -> None:
        self.gaze = GazeTracker(settings.gaze)
        self.monitor = AttentionMonitor(settings.monitor)
        self.away_from_s = math.nan
        self.away_until_s = math.nan
        self.farthest_rad = math.nan


class AttentionObserver:
    """
    Measures where every face looks, over time, and tells who came, left and looked away.

    :param settings: limits, zones and windows.
    :raises ValueError: when the settings do not go together.
    """

    def __init__(self, settings: AttentionSettings | None = None) -> None:
        self.settings = settings or AttentionSettings()
        self._presence = Presence(self.settings.presence)
        self._people = People(self._new_person, math.inf)
        self.events: list[PersonEvent] = []
        """What the last image made certain."""

    @property
    def people(self) -> int:
        """How many people are kept."""
        return len(self._people)

    @property
    def stream(self) -> StreamOrder:
        """Where the stream stands."""
        return self._people.stream

    @property
    def present(self) -> frozenset[str]:
        """Who is there, as far as is known: also those whose face is not seen for a moment."""
        return self._presence.present

    def adopt(self, settings: AttentionSettings) -> None:
        """
        Take over other thresholds; whose window does not fit them starts anew.

        :raises ValueError: when they do not go together; nothing has changed then.
        """
        same_gaze = settings.gaze == self.settings.gaze
        self.settings = settings
        self._presence.settings = settings.presence

        def adapt(person: _Person) -> _Person:
            if not same_gaze:
                person.gaze = GazeTracker(settings.gaze)
            if not person.monitor.adopt(settings.monitor):
                person.monitor = AttentionMonitor(settings.monitor)
            return person

        self._people.change(adapt)

    def continue_from(self, previous: AttentionObserver) -> None:
        """Go on with the people of an observer that is not used any more."""
        settings = self.settings
        self._people, self._presence = previous._people, previous._presence
        self._people.make = self._new_person
        self.settings = previous.settings  # what the people were made with
        self.adopt(settings)

    def reset(self) -> None:
        """Forget everybody."""
        self._people.clear()
        self._presence.reset()
        self.events = []

    def set_front(self) -> int:
        """Take where everybody who is seen looks now for the front; gives of how many."""
        return sum(person.monitor.set_natural() for person in self._people)

    def observe(self, seen: SeenFaces, poses: Mapping[str, HeadPose]) -> list[AttentionReading]:
        """
        Measure the faces of the stream's next image.

        :param seen: its faces.
        :param poses: of their heads, by face id, as fatigue measured them.
        :returns: one reading per face; what else is certain now is in :attr:`events`.
        :raises ValueError: when the stamp is not finite.
        """
        self.events = []
        now_s = self._people.advance(seen.stamp_s)
        if self.stream.anew:
            self._presence.reset()
        # who waits for a turn is there, but nothing is known of them now
        ids = [face.face_id for face in (*seen.faces, *seen.waiting)]
        blind = seen.seeing is not Seeing.CLEAR
        self.events += self._presence.update(now_s, ids, blind=blind)
        readings = [self._read(face, now_s, seen, poses.get(face.face_id)) for face in seen.faces]
        for person_id, person in self._people.items():
            if person_id not in ids:
                unseen = Gaze(GazeState.NO_HEAD)
                self._follow(person_id, person, now_s, person.monitor.update(now_s, unseen, None))
        if len(self._people) > len(self._presence):
            self._people.keep(self._presence.known)
        return readings

    def observe_still(
        self, seen: SeenFaces, poses: Mapping[str, HeadPose]
    ) -> list[AttentionReading]:
        """Measure the faces of a picture that belongs to no stream: nothing is known of before."""
        return AttentionObserver(self.settings).observe(seen, poses)

    def _new_person(self) -> _Person:
        return _Person(self.settings)

    def _read(
        self, face: TrackedFace, now_s: float, seen: SeenFaces, pose: HeadPose | None
    ) -> AttentionReading:
        person = self._people.see(face.face_id, face.tracked_s)
        landmarks = face.landmarks_px
        # a sum is finite only if every term is
        if landmarks is not None and not math.isfinite(float(landmarks.sum())):
            landmarks = None
        gaze = person.gaze.update(now_s, landmarks, pose, face.views)
        state = person.monitor.update(now_s, gaze, pose)
        self._follow(face.face_id, person, now_s, state)
        window_s = self.settings.monitor.window.window_s
        return AttentionReading(face, gaze, state, window_s, seen.backend)

    def _follow(
        self, person_id: str, person: _Person, now_s: float, state: AttentionState
    ) -> None:
        """Tell of a look away when it is over."""
        if state.zone is Zone.AWAY:
            if math.isnan(person.away_from_s):
                person.away_from_s = now_s - state.zone_s
                person.farthest_rad = state.yaw_rad
            elif abs(state.yaw_rad) > abs(person.farthest_rad):
                person.farthest_rad = state.yaw_rad
            person.away_until_s = now_s
            return
        if math.isnan(person.away_from_s):
            return
        unseen = state.zone is Zone.UNKNOWN
        end_s = person.away_until_s if unseen else now_s - state.zone_s
        away = PersonEvent(
            EventKind.LOOKED_AWAY,
            person_id,
            person.away_from_s,
            max(end_s - person.away_from_s, 0.0),
            person.farthest_rad,
            truncated=unseen,
        )
        person.away_from_s = math.nan
        if away.duration_s >= self.settings.looks.min_away_s:
            self.events.append(away)
