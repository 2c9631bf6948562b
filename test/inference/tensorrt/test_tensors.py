# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which tensors of an engine file serve a model, and what is told where they do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tensorrt_fixtures import PLAN, SPEC, Plan, assert_right, images, toy_network

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt.engine import TensorRtEngine


def float_plan(layout, outputs=('sums', 'mean')):
    shape = {'nhwc': (1, 4, 6, 3), 'nchw': (1, 3, 4, 6)}[layout]

    def network(image):
        return toy_network(image if layout == 'nhwc' else image.transpose(0, 2, 3, 1))

    return Plan(
        tensors={
            'input_1': ('in', 'FLOAT', shape),
            outputs[0]: ('out', 'FLOAT', (1, 4, 3)),
            outputs[1]: ('out', 'FLOAT', (1, 1)),
        },
        batches=[(1, 1, 1)],
        network=network,
        output_names=dict(zip(('sums', 'mean'), outputs)),
    )


@pytest.mark.parametrize('layout', ['nhwc', 'nchw'])
@pytest.mark.parametrize('offset', [-1.0, 0.0])
def test_a_float_engine_gets_its_pixels_scaled_on_the_host(trt, path, layout, offset):
    spec = dataclasses.replace(SPEC, offset=offset)
    trt.plans[PLAN] = float_plan(layout)
    with TensorRtEngine(spec, path) as engine:
        assert engine.scales_on_host
        batch = images(2)
        outputs = engine.infer({'image': batch})
        for name, expected in toy_network(batch * (2.0 / 255.0) + offset).items():
            np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-5)


def test_a_uint8_engine_needs_no_scaling_on_the_host(trt, path):
    with TensorRtEngine(SPEC, path) as engine:
        assert not engine.scales_on_host


def test_tflite_output_names_are_translated_and_folded_dimensions_unfolded(trt, path):
    plan = float_plan('nhwc', outputs=('conv2d_1', 'mean'))
    plan.tensors['conv2d_1'] = ('out', 'FLOAT', (1, 1, 1, 12))
    trt.plans[PLAN] = plan
    with TensorRtEngine(SPEC, path) as engine:
        assert engine.infer({'image': images(1)})['sums'].shape == (1, 4, 3)
        assert [str(tensor) for tensor in engine.engine_tensors()] == [
            'input_1 FLOAT[1,4,6,3]',
            'conv2d_1 FLOAT[1,1,1,12]',
            'mean FLOAT[1,1]',
        ]


@pytest.mark.parametrize('shape', [(12,), (1, 12), (4, 1, 3), (1, 4, 3, 1), (2, 2, 3)])
def test_dimensions_may_be_joined_or_split_where_the_order_stays(trt, path, shape):
    trt.plans[PLAN].tensors['sums'] = ('out', 'FLOAT', (-1, *shape))
    original = toy_network

    def network(image):
        outputs = original(image)
        return outputs | {'sums': outputs['sums'].reshape(-1, *shape)}

    trt.plans[PLAN].network = network
    with TensorRtEngine(SPEC, path) as engine:
        assert_right(engine, images(2))


@pytest.mark.parametrize('layout', ['nhwc', 'nchw'])
def test_a_spec_without_tensors_takes_those_of_the_file(trt, path, layout):
    plan = float_plan(layout, outputs=('output0', 'output1'))
    trt.plans[PLAN] = plan
    with TensorRtEngine(ModelSpec('mine', (), ()), path) as engine:
        (given,) = engine.inputs
        assert str(given) == f'input_1 float32{list(plan.tensors["input_1"][2])}'.replace(
            ', ', ','
        )
        assert list(map(str, engine.outputs)) == ['output0 float32[1,4,3]', 'output1 float32[1,1]']
        assert not engine.scales_on_host
        batch = images(1).astype(np.float32)
        given = batch if layout == 'nhwc' else np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        outputs = engine.infer({'input_1': given})
        np.testing.assert_allclose(outputs['output0'], toy_network(batch)['sums'], rtol=1e-6)
        np.testing.assert_allclose(outputs['output1'], toy_network(batch)['mean'], rtol=1e-6)


@pytest.mark.parametrize(
    ('tensor', 'told'),
    [
        (('in', 'FLOAT', (1, 3, -1, -1)), 'only the batch may be dynamic'),
        (('in', 'BF16', (1, 3, 4, 6)), 'type that is not supported'),
    ],
)
def test_a_file_of_one_s_own_is_refused_where_its_tensors_cannot_be_served(
    gpu, trt, path, tensor, told
):
    plan = float_plan('nchw')
    plan.tensors['input_1'] = tensor
    trt.plans[PLAN] = plan
    with pytest.raises(InferenceError, match=told):
        TensorRtEngine(ModelSpec('mine', (), ()), path)
    assert not gpu.live


@pytest.mark.parametrize(
    ('name', 'tensor', 'told'),
    [
        ('image', ('in', 'UINT8', (-1, 6, 4, 3)), r'image uint8\[N,4,6,3\] is image UINT8\[N,6,4'),
        ('image', ('in', 'HALF', (-1, 4, 6, 3)), r'is image HALF\[N,4,6,3\]'),
        ('image', ('in', 'FLOAT', (-1, 4, 6, 4)), r'is image FLOAT\[N,4,6,4\]'),
        ('image', ('in', 'BF16', (-1, 4, 6, 3)), r'is image BF16'),
        ('picture', ('in', 'UINT8', (-1, 4, 6, 3)), r'image uint8\[N,4,6,3\] is missing.*picture'),
        ('sums', ('out', 'HALF', (-1, 4, 3)), r'sums float32\[N,4,3\] is sums HALF'),
        ('sums', ('out', 'FLOAT', (-1, 4, 4)), r'is sums FLOAT\[N,4,4\]'),
        ('sums', ('out', 'FLOAT', (-1, 3, 4)), r'is sums FLOAT\[N,3,4\]'),
        ('sums', ('out', 'FLOAT', (-1, 6, 2)), r'is sums FLOAT\[N,6,2\]'),
        ('total', ('out', 'FLOAT', (-1, 4, 3)), r'sums .* is missing.*unexpected output total'),
        ('extra', ('out', 'FLOAT', (-1, 4, 3)), r'unexpected output extra FLOAT\[N,4,3\]'),
    ],
)
def test_another_network_is_refused_and_the_difference_named(gpu, trt, path, name, tensor, told):
    tensors = trt.plans[PLAN].tensors
    replaced = {'picture': 'image', 'total': 'sums'}.get(name)
    tensors.pop(replaced, None)
    tensors[name] = tensor
    with pytest.raises(InferenceError, match=told):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


def test_profiles_that_exclude_the_networks_size_are_refused(trt, path):
    trt.plans[PLAN].tensors['image'] = ('in', 'UINT8', (-1, -1, -1, 3))
    with pytest.raises(InferenceError, match='no optimisation profile of it takes image'):
        TensorRtEngine(SPEC, path)
