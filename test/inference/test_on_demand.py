# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks that are let go, and loaded again for their next run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.litert_engine import LitertEngine
from aitable_ros.inference.on_demand import OnDemandEngine, on_demand
from aitable_ros.inference.selection import Selection


def selected(catalog, engines_dir, backend='litert'):
    path = Path(engines_dir) / 'fer.tflite'
    return Selection(LitertEngine(catalog['fer'], path), backend, path)


def picture(engine):
    return np.zeros((1, *engine.inputs[0].shape[1:]), np.uint8)


def test_is_loaded_again_when_it_is_needed_after_all(catalog, engines_dir):
    loads = []

    def again():
        loads.append(selected(catalog, engines_dir))
        return loads[-1]

    first = selected(catalog, engines_dir)
    selection = on_demand(first, again)
    engine = selection.engine
    assert isinstance(engine, OnDemandEngine)
    assert (engine.name, engine.backend, selection.path) == ('fer', 'litert', first.path)
    expected = engine.infer({'image': picture(engine)})['probabilities']
    assert not loads
    for _ in range(2):
        engine.release()
    assert first.engine.closed
    assert not engine.held
    for _ in range(2):
        got = engine.infer({'image': picture(engine)})['probabilities']
        np.testing.assert_array_equal(got, expected)
    assert len(loads) == 1
    engine.close()
    assert loads[0].engine.closed


def test_wrong_inputs_are_refused_before_it_is_loaded(catalog, engines_dir):
    engine = on_demand(selected(catalog, engines_dir), lambda: pytest.fail('loaded')).engine
    assert isinstance(engine, OnDemandEngine)
    engine.release()
    with pytest.raises(InferenceError, match='expected input tensors'):
        engine.infer({})
    engine.close()


def test_what_takes_long_to_load_stays_loaded(catalog, engines_dir):
    first = selected(catalog, engines_dir, backend='tensorrt')
    assert on_demand(first, lambda: pytest.fail('loaded')) is first
    first.engine.close()
