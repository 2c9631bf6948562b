# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The contract that every engine keeps, whatever runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aitable_ros.inference.engine import DYNAMIC, Engine, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec, is_folded


class Sum(Engine):
    """Adds its two inputs."""

    backend = 'numpy'

    def __init__(self):
        a, b = (TensorSpec(name, (DYNAMIC, 3), np.dtype(np.float32)) for name in ('a', 'b'))
        out = TensorSpec('sum', (DYNAMIC, 3), np.dtype(np.float32))
        super().__init__(ModelSpec('adder', (a, b), (out,)), Path('/models/adder.onnx'))
        self.times_closed = 0

    def _infer(self, inputs):
        return {'sum': inputs['a'] + inputs['b']}

    def _close(self):
        self.times_closed += 1


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def test_named_arrays_in_named_arrays_out():
    with Sum() as engine:
        result = engine.infer({'a': ones(2, 3), 'b': ones(2, 3)})
    np.testing.assert_array_equal(result['sum'], np.full((2, 3), 2))


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        ({'a': ones(1, 3)}, r"expected input tensors \['a', 'b'\], got \['a'\]"),
        ({'a': ones(1, 3), 'c': ones(1, 3)}, r"got \['a', 'c'\]"),
        ({'a': ones(1, 4), 'b': ones(1, 3)}, r'input a float32\[N,3\]: got float32\[1, 4\]'),
        ({'a': ones(3), 'b': ones(1, 3)}, r'got float32\[3\]'),
        ({'a': ones(0, 3), 'b': ones(0, 3)}, r'got float32\[0, 3\]'),
        ({'a': ones(1, 3, dtype=np.uint8), 'b': ones(1, 3)}, r'got uint8\[1, 3\]'),
        ({'a': [[1, 2, 3]], 'b': ones(1, 3)}, 'expected a NumPy array, got list'),
        ({'a': ones(1, 3), 'b': ones(2, 3)}, "differ in size: {'a': 1, 'b': 2}"),
    ],
)
def test_wrong_inputs_are_refused_naming_engine_and_tensor(inputs, message):
    with pytest.raises(InferenceError, match=message) as caught:
        Sum().infer(inputs)
    assert str(caught.value).startswith('adder on numpy (adder.onnx)')


def test_closed_once_and_unusable_afterwards():
    engine = Sum()
    engine.close()
    engine.close()
    assert engine.times_closed == 1
    assert engine.closed
    with pytest.raises(InferenceError, match=r'adder on numpy .*used after close'):
        engine.infer({'a': ones(1, 3), 'b': ones(1, 3)})


def test_closed_when_the_block_is_left_by_an_error():
    engine = Sum()
    with pytest.raises(KeyError), engine:
        raise KeyError
    assert engine.closed


@pytest.mark.parametrize(
    ('have', 'want', 'folded'),
    [
        ((896, 16), (896, 16), True),
        ((1, 1, 1404), (468, 3), True),
        ((195,), (39, 5), True),
        ((896, 1, 16), (896, 16, 1), True),
        ((1, 1, 1), (1,), True),
        ((), (1,), True),
        ((3, 468), (468, 3), False),
        ((39, 64, 64), (64, 64, 39), False),
        ((468, 4), (468, 3), False),
    ],
)
def test_a_shape_is_folded_where_the_order_of_the_values_stays(have, want, folded):
    assert is_folded(have, want) is folded
    assert is_folded(want, have) is folded
