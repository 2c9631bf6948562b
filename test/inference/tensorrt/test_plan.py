# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Engine files that TensorRT or we refuse, and the batches that those taken run."""

from __future__ import annotations

import pytest
from tensorrt_fixtures import OLD_API, PLAN, SPEC, assert_right, images

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt.engine import TensorRtEngine

OWN = ModelSpec('mine', (), ())


@pytest.mark.parametrize('content', [b'', None])
def test_an_empty_or_missing_file_is_named(gpu, trt, path, content):
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InferenceError, match=r'toy\.engine (is empty|cannot be read: No such)'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


def test_a_refused_plan_is_explained_in_words_and_in_tensorrts_own(gpu, trt, path):
    path.write_bytes(b'ftrt' + bytes(20) + bytes((8, 5, 2, 2)) + b'another')
    for trouble in ('first trouble', 'Version tag does\n not match'):
        trt.refusal = trouble
        with pytest.raises(InferenceError) as error:
            TensorRtEngine(SPEC, path)
    assert str(error.value) == (
        f'toy on tensorrt (toy.engine): cannot be loaded: {path}: it was built for another'
        ' TensorRT version (8.5.2); build it with this one [TensorRT 11.4.0; CUDA device 0 (Toy'
        ' GPU); TensorRT: Version tag does not match]'
    )
    assert not gpu.live


def test_host_code_is_refused_unless_allowed(gpu, trt, path):
    trt.plan.host_code = True
    with pytest.raises(InferenceError, match='allow that .* only for a file that you built'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live
    TensorRtEngine(SPEC, path, allow_host_code=True).close()


def test_ultralytics_metadata_before_the_plan_is_skipped(trt, path):
    metadata = b'{"task": "detect"}'
    path.write_bytes(len(metadata).to_bytes(4, 'little') + metadata + PLAN)
    TensorRtEngine(SPEC, path).close()


@pytest.mark.parametrize('trt', [OLD_API], indirect=True)
def test_an_implicit_batch_dimension_is_refused(gpu, trt, path):
    trt.plan.implicit_batch = True
    with pytest.raises(InferenceError, match='implicit batch'):
        TensorRtEngine(SPEC, path)
    assert not gpu.live


@pytest.mark.parametrize(
    ('step', 'told'),
    [
        ('is_shape', r'image UINT8\[N,4,6,3\] is a shape that the host must give'),
        ('vectorized', r'image UINT8\[N,4,6,3\] has a vectorised memory format'),
    ],
)
def test_tensors_that_cannot_be_served_are_refused(gpu, trt, path, step, told):
    gpu.fail_at = {step: {1}}
    with pytest.raises(InferenceError, match=told):
        TensorRtEngine(SPEC, path)


def test_a_spec_without_tensors_takes_those_of_the_file(trt, path):
    with TensorRtEngine(OWN, path) as engine:
        assert [str(tensor) for tensor in (*engine.inputs, *engine.outputs)] == [
            'image uint8[N,4,6,3]',
            'sums float32[N,4,3]',
        ]
        assert_right(engine, images(2))


@pytest.mark.parametrize(
    ('tensor', 'told'),
    [
        (('in', 'FLOAT', (1, 3, -1, -1)), 'only the batch may be dynamic'),
        (('in', 'BF16', (1, 3, 4, 6)), 'type that is not supported'),
    ],
)
def test_a_file_of_one_s_own_is_refused_where_its_tensors_cannot_be_served(
    trt, path, tensor, told
):
    trt.plan.tensors['image'] = tensor
    with pytest.raises(InferenceError, match=told):
        TensorRtEngine(OWN, path)


def test_the_narrowest_profile_that_takes_the_batch_is_used(trt, path):
    trt.plan.batches = [(1, 8, 8), (1, 1, 1), (2, 2, 4)]
    with TensorRtEngine(SPEC, path) as engine:
        assert engine.max_batch == 8
        assert [r.profile for r in engine._ranges] == [0, 1, 2]
        for count in (1, 2, 4, 5, 9):
            assert_right(engine, images(count))


def test_profiles_that_exclude_the_networks_size_are_refused(trt, path):
    trt.plan.tensors['image'] = ('in', 'UINT8', (-1, -1, -1, 3))
    with pytest.raises(InferenceError, match='no optimisation profile of it takes image'):
        TensorRtEngine(SPEC, path)
