# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What each movement of a neutral face's points shows as."""

from __future__ import annotations

import pytest
from posed_faces import (
    MOUTH_LINE,
    NEUTRAL_SHAPE,
    contempt,
    drop_jaw,
    lift_brows,
    push,
    smile,
    units,
)


@pytest.mark.parametrize(
    ('shape', 'unit'),
    [
        (smile(), 'lip_corner_puller'),
        (smile(), 'cheek_raiser'),
        (lift_brows(NEUTRAL_SHAPE, 0.15, 0.0), 'inner_brow_raiser'),
        (lift_brows(NEUTRAL_SHAPE, 0.0, 0.15), 'outer_brow_raiser'),
        (lift_brows(NEUTRAL_SHAPE, -0.1, -0.1), 'brow_lowerer'),
        (push(NEUTRAL_SHAPE, (159, 386), (0, 0.08, 0), 0.05), 'upper_lid_raiser'),
        (push(NEUTRAL_SHAPE, (145, 374), (0, 0.03, 0), 0.04), 'lid_tightener'),
        (push(NEUTRAL_SHAPE, (129, 358), (0, 0.10, 0), 0.06), 'nose_wrinkler'),
        (push(NEUTRAL_SHAPE, (0,), (0, 0.08, 0), 0.05), 'upper_lip_raiser'),
        (push(NEUTRAL_SHAPE, (61, 291), (0, -0.07, 0), 0.06), 'lip_corner_depressor'),
        (push(NEUTRAL_SHAPE, (61, 291), (0.12, 0, 0), 0.06), 'lip_stretcher'),
        (drop_jaw(NEUTRAL_SHAPE, 0.15), 'lips_part'),
        (drop_jaw(NEUTRAL_SHAPE, 0.4), 'jaw_drop'),
        (contempt(), 'unilateral_corner'),
    ],
)
def test_each_movement_shows_as_its_action_unit(shape, unit):
    assert getattr(units(shape), unit) > 0.5


def test_pressed_lips_show_as_lip_pressor():
    shape = NEUTRAL_SHAPE.copy()
    shape[[0, 17], 1] = MOUTH_LINE + 0.35 * (shape[[0, 17], 1] - MOUTH_LINE)
    assert units(shape).lip_pressor > 0.5
