# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Alerts: readings of faces and postures in, reasons to act out; and events of postures."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from aitable_ros.perception.alerts.policy import (
    AlertChange,
    AlertPolicy,
    AlertSettings,
    FaceSigns,
    PostureSigns,
)
from aitable_ros.perception.events import EventKind, PersonEvent
from aitable_ros.perception.images.seeing import IN_WORDS, Seeing
from aitable_ros.perception.images.stream_order import StreamOrder
from aitable_ros.perception.posture.states import Posture

_NO_POSTURE = (Posture.UNKNOWN, Posture.AWAY)


class AlertObserver:
    """
    Steps the policy by the readings, each kind in the order of its own images.

    :param settings: the policy.
    """

    def __init__(self, settings: AlertSettings | None = None) -> None:
        self.policy = AlertPolicy(settings)
        self._postures = StreamOrder()
        self._ended: list[AlertChange] = []
        self.reset()

    def reset(self) -> None:
        """Forget everybody; the alerts end with the next reading."""
        self._ended += self.policy.reset()
        self._postures.reset()
        self._state = Posture.UNKNOWN
        self._sits_long = False

    def faces(
        self,
        stamp_s: float,
        faces: Mapping[str, FaceSigns],
        present: Collection[str],
        seeing: Seeing,
        *,
        anew: bool = False,
    ) -> list[AlertChange]:
        """
        Take the faces of the next image.

        :param stamp_s: when it counts as taken [s].
        :param faces: by face id.
        :param present: who is there, also without a face in this image.
        :param seeing: what can be seen in the image at all.
        :param anew: another stream begins with it.
        :returns: what has changed.
        """
        if anew:
            self.reset()
        return self._told(self.policy.faces(stamp_s, faces, present, IN_WORDS[seeing]))

    def posture(
        self, stamp_s: float, person: str, signs: PostureSigns, state_s: float, still_s: float
    ) -> tuple[list[PersonEvent], list[AlertChange]]:
        """
        Take the next posture.

        :param stamp_s: header time of its image [s].
        :param person: face id; empty: not known.
        :param signs: what the policy looks at.
        :param state_s: how long the person has sat so [s].
        :param still_s: how long they have not moved [s]; NaN: not known.
        :returns: what has happened, and which alerts have changed.
        """
        now_s = self._postures.advance(stamp_s)
        assert now_s is not None  # whose camera it is was asked by the posture node
        if self._postures.anew:
            self._state, self._sits_long = Posture.UNKNOWN, False
        events = []
        before, state = self._state, signs.state
        if state not in _NO_POSTURE:
            if before not in (Posture.UNKNOWN, state):
                changed = (now_s - state_s, math.nan, float(state))
                events.append(PersonEvent(EventKind.POSTURE_CHANGED, person, *changed))
            self._state = state
        elif state is Posture.AWAY:
            self._state = Posture.UNKNOWN
        if signs.still_warning and not self._sits_long:
            still = (now_s - still_s, still_s, still_s)
            events.append(PersonEvent(EventKind.SAT_TOO_LONG, person, *still))
        self._sits_long = signs.still_warning
        return events, self._told(self.policy.posture(now_s, person, signs))

    def _told(self, changes: list[AlertChange]) -> list[AlertChange]:
        ended, self._ended = self._ended, []
        return ended + changes
