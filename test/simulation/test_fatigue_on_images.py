# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From images to closures: the same verdict at three scales and three brightness levels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.faces.observer import NETWORKS, FaceObserver
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.observer import FatigueObserver
from aitable_ros.simulation import AstronautSequence

pytestmark = pytest.mark.models

# seconds 5 to 15: 3 s of open and blinking eyes to learn from, then two blinks and the 2 s closure
FIRST, LAST = 5 * 30, 15 * 30
LEARNED_S = 8.0


@pytest.fixture(scope='module')
def frames():
    sequence = AstronautSequence()
    return sequence, [sequence.frame(i) for i in range(FIRST, LAST)]


@pytest.mark.parametrize(('scale', 'gain'), [(0.7, 0.5), (0.7, 1.4), (1.0, 1.0), (1.6, 0.5)])
def test_every_closure_and_nothing_else(catalog, engines_dir, frames, scale, gain):
    sequence, images = frames
    engines = [load_engine(catalog[name], engines_dir=engines_dir) for name in NETWORKS]
    faces, fatigue = FaceObserver(engines), FatigueObserver()
    begun, ended, closed, duration_s = [], [], False, 0.0
    for i, image in enumerate(images, FIRST):
        stamp_s = sequence.stamp_s(i)
        seen = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        seen = np.clip(seen * gain, 0, 255).astype(np.uint8)
        (reading,) = fatigue.observe(faces.observe(seen, stamp_s))
        state = reading.state
        if stamp_s < LEARNED_S:
            continue
        now_closed = state.eye_state is EyeState.CLOSED
        if now_closed and not closed:
            begun.append(stamp_s)
        elif closed and not now_closed:
            ended.append(stamp_s)
        closed = now_closed
        duration_s = max(duration_s, state.closure_duration_s)
    faces.close()
    truth = [c for c in sequence.closures if c.start_s > LEARNED_S and c.end_s < LAST / 30]
    assert len(truth) == 3
    assert begun == pytest.approx([c.start_s for c in truth], abs=0.07)
    assert ended == pytest.approx([c.end_s for c in truth], abs=0.07)
    assert duration_s == pytest.approx(2.0, abs=0.1)
    assert state.microsleep_count == 1
