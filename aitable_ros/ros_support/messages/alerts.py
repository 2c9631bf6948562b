# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Messages -> what the policy of alerts looks at, and its alerts -> messages."""

from __future__ import annotations

from std_msgs.msg import Header

from aitable_msgs.msg import Alert, Fatigue, Posture
from aitable_ros.perception.alerts.policy import AlertChange, FaceSigns, PostureSigns
from aitable_ros.perception.attention.observer import AttentionReading
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.posture.states import Posture as SittingPosture
from aitable_ros.ros_support.messages.attention import time_of

_LEVELS = {int(level): level for level in FatigueLevel}
_POSTURES = {int(state): state for state in SittingPosture}
_EYES = {
    Fatigue.EYES_OPEN: False,
    Fatigue.EYES_WINK_LEFT: False,
    Fatigue.EYES_WINK_RIGHT: False,
    Fatigue.EYES_CLOSED: True,
}


def alert_to_message(alert: AlertChange, header: Header) -> Alert:
    """Make the message for an alert; ``header`` is that of the image that decided."""
    return Alert(
        header=header,
        person_id=alert.person,
        cause=alert.cause,
        level=alert.level,
        reason=alert.reason,
        since=time_of(alert.since_s),
        acknowledged=bool(alert.acknowledged),
    )


def face_signs(fatigue: Fatigue, reading: AttentionReading) -> FaceSigns:
    """Give what the policy of alerts looks at."""
    return FaceSigns(
        _EYES.get(fatigue.eye_state),
        fatigue.mar,
        _LEVELS.get(fatigue.level, FatigueLevel.UNKNOWN),
        fatigue.level_reason,
        reading.state.zone,
        reading.state.zone_s,
        reading.reason,
    )


def posture_signs(posture: Posture) -> PostureSigns:
    """Give what the policy of alerts looks at."""
    state = _POSTURES.get(posture.state, SittingPosture.UNKNOWN)
    return PostureSigns(state, posture.state_reason, bool(posture.still_warning))
