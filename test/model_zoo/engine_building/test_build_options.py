# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How an engine is built: what is asked for, what suits the network, and what is possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building.build_options import (
    DEFAULTS,
    BuildOptions,
    EngineBuildError,
    batch_profiles,
    options_for,
)

PICTURES = {'precision': 'int8', 'calibration_images': Path('pictures')}


class TestDefaults:
    def test_are_of_networks_that_there_are(self) -> None:
        assert set(DEFAULTS) <= set(CONTRACTS)

    def test_of_a_user_s_own_network_are_the_general_ones(self) -> None:
        assert options_for('own') == BuildOptions()
        assert options_for('emonet', fp32_first=None) == BuildOptions(**DEFAULTS['emonet'])

    def test_give_way_to_what_is_asked_for(self) -> None:
        assert options_for('face_mesh', form='plain').form == 'plain'
        assert options_for('pose_landmark', precision='fp16').precision == 'fp16'
        assert options_for('emonet', fp32_first=0).fp32_first == 0

    def test_of_int8_leave_convolutions_as_they_are_unless_asked(self) -> None:
        assert options_for('face_mesh', **PICTURES).form == 'plain'
        assert options_for('face_mesh', form='dense', **PICTURES).form == 'dense'

    @pytest.mark.parametrize('precision', ['fp32', 'tf32'])
    def test_hold_nothing_in_fp32_where_all_is(self, precision: str) -> None:
        assert options_for('emonet', precision=precision).fp32_first == 0


class TestOptions:
    @pytest.mark.parametrize(
        ('given', 'told'),
        [
            ({'precision': 'fp8'}, "precision 'fp8': expected one of fp32, tf32, fp16, int8"),
            ({'form': 'sparse'}, "form 'sparse': expected one of plain, dense, relu"),
            ({'precision': 'fp32', 'fp32_first': 3}, 'fp32_first 3: nothing is below fp32 anyway'),
            ({'aux_streams': 17}, 'aux_streams 17: expected 0 to 16'),
            ({'fp32_first': -1}, 'fp32_first -1: expected 0 to 1000'),
            ({'max_batch': 0}, 'max_batch 0: expected 1 to 1024'),
            ({'workspace_mib': -1}, 'workspace_mib -1'),
            ({'optimization_level': 6}, 'optimization_level 6: expected 0 to 5'),
            ({'precision': 'int8'}, 'needs a folder of pictures'),
        ],
    )
    def test_that_are_not_possible_are_an_error(self, given: dict[str, Any], told: str) -> None:
        with pytest.raises(EngineBuildError, match=told):
            options_for('face_mesh', **given)


def test_a_fixed_batch_stays_and_no_other_can_be_had() -> None:
    assert batch_profiles(BuildOptions(), dynamic=False) == ()
    with pytest.raises(EngineBuildError, match='has a fixed batch'):
        batch_profiles(BuildOptions(max_batch=2), dynamic=False)
