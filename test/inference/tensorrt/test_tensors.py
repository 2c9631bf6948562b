# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which tensors of an engine file serve a model, and what is told where they do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tensorrt_fixtures import SPEC, images

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.tensors import EngineTensor, bind_tensors

IMAGE = EngineTensor('image', True, (-1, 4, 6, 3), 'UINT8')
SUMS = EngineTensor('sums', False, (-1, 4, 3), 'FLOAT')


@pytest.mark.parametrize('shape', [(4, 6, 3), (3, 4, 6)])
@pytest.mark.parametrize('offset', [-1.0, 0.0])
def test_a_float_engine_gets_its_pixels_scaled_on_the_host(shape, offset):
    spec = dataclasses.replace(SPEC, offset=offset)
    ((image,), _) = bind_tensors(spec, (EngineTensor('input_1', True, (1, *shape), 'FLOAT'), SUMS))
    assert (image.name, image.row_shape, image.dtype) == ('input_1', shape, np.float32)
    given = images(2)
    written = np.empty((2, *shape), np.float32)
    image.write(written, given)
    if shape == (3, 4, 6):
        given = given.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(written, given * (2.0 / 255.0) + offset, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('shape', [(12,), (1, 1, 12), (4, 1, 3), (1, 4, 3, 1), (2, 2, 3)])
def test_outputs_may_fold_dimensions_where_the_order_stays_and_bear_tflite_s_names(shape):
    folded = EngineTensor('conv2d_1', False, (-1, *shape), 'FLOAT')
    _, (sums,) = bind_tensors(SPEC, (IMAGE, folded))
    assert (sums.name, sums.spec) == ('conv2d_1', SPEC.outputs[0])


@pytest.mark.parametrize(
    ('name', 'dtype', 'shape', 'told'),
    [
        ('image', 'UINT8', (-1, 6, 4, 3), r'image uint8\[N,4,6,3\] is image UINT8\[N,6,4'),
        ('image', 'HALF', (-1, 4, 6, 3), r'is image HALF\[N,4,6,3\]'),
        ('image', 'FLOAT', (-1, 4, 6, 4), r'is image FLOAT\[N,4,6,4\]'),
        ('image', 'BF16', (-1, 4, 6, 3), r'is image BF16'),
        ('picture', 'UINT8', (-1, 4, 6, 3), r'image uint8\[N,4,6,3\] is missing.*picture'),
        ('sums', 'HALF', (-1, 4, 3), r'sums float32\[N,4,3\] is sums HALF'),
        ('sums', 'FLOAT', (-1, 4, 4), r'is sums FLOAT\[N,4,4\]'),
        ('sums', 'FLOAT', (-1, 3, 4), r'is sums FLOAT\[N,3,4\]'),
        ('sums', 'FLOAT', (-1, 6, 2), r'is sums FLOAT\[N,6,2\]'),
        ('total', 'FLOAT', (-1, 4, 3), r'sums .* is missing.*unexpected output total'),
        ('extra', 'FLOAT', (-1, 4, 3), r'unexpected output extra FLOAT\[N,4,3\]'),
    ],
)
def test_another_network_is_refused_and_the_difference_named(name, dtype, shape, told):
    is_input = name in ('image', 'picture')
    kept = (SUMS,) if is_input else (IMAGE, SUMS) if name == 'extra' else (IMAGE,)
    with pytest.raises(InferenceError, match=f'not this network: .*{told}'):
        bind_tensors(SPEC, (*kept, EngineTensor(name, is_input, shape, dtype)))


def test_all_tensors_must_have_the_same_batch_dimension():
    spec = dataclasses.replace(
        SPEC, inputs=(dataclasses.replace(SPEC.inputs[0], shape=(2, 4, 6, 3)),)
    )
    with pytest.raises(InferenceError, match='must have the same batch dimension'):
        bind_tensors(spec, (IMAGE, SUMS))
