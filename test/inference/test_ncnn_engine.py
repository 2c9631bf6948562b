# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.engine import DYNAMIC, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.ncnn_engine import NcnnEngine, pack, unpack

SPEC = ModelSpec(
    name='tiny',
    inputs=(TensorSpec('image', (DYNAMIC, 4, 6, 3), np.dtype(np.uint8)),),
    outputs=(TensorSpec('mean', (DYNAMIC, 3), np.dtype(np.float32)),),
)

# The mean of each channel, times 2, 3 and 4.
GRAPH = (
    '7767517\n'
    '3 3\n'
    'Input image 0 1 image 0=6 1=4 2=3\n'
    'Pooling pool 1 1 image pooled 0=1 4=1\n'
    'Scale times 1 1 pooled mean 0=3 1=0\n'
)
WEIGHTS = np.array((2.0, 3.0, 4.0), '<f4').tobytes()

needs_ncnn = pytest.mark.usefixtures('ncnn')


@pytest.fixture
def ncnn() -> None:
    pytest.importorskip('ncnn', reason='ncnn is not installed')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'tiny.ncnn'
    path.write_bytes(pack(GRAPH, WEIGHTS))
    return path


@pytest.fixture
def engine(ncnn: None, path: Path) -> Iterator[NcnnEngine]:
    with NcnnEngine(SPEC, path) as engine:
        yield engine


def _images(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 6, 3), dtype=np.uint8)


def test_a_file_holds_graph_and_weights() -> None:
    assert unpack(pack(GRAPH, WEIGHTS)) == (GRAPH, WEIGHTS)
    assert pack(GRAPH, WEIGHTS).startswith(WEIGHTS)  # ncnn reads it from the start


@pytest.mark.parametrize('lost', [1, 20, 60, 200])
def test_a_truncated_file_is_refused(path: Path, lost: int) -> None:
    with pytest.raises(ValueError, match='truncated'):
        unpack(path.read_bytes()[:-lost])


@pytest.mark.parametrize('position', [0, 11, 12, 100, -9, -17, -40])
def test_any_changed_byte_is_noticed(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    with pytest.raises(ValueError, match='damaged|truncated'):
        unpack(bytes(content))


def test_other_contents_are_refused() -> None:
    with pytest.raises(ValueError, match='truncated or not a .ncnn file'):
        unpack(b'')
    with pytest.raises(ValueError, match='no ncnn graph'):
        unpack(pack('hello', b''))


def test_each_image_of_the_batch_gets_its_own_outputs(engine: NcnnEngine) -> None:
    images = _images(3)
    expected = images.mean(axis=(1, 2)) * (2, 3, 4)
    outputs = engine.infer({'image': images})
    assert outputs['mean'].dtype == np.float32
    np.testing.assert_allclose(outputs['mean'], expected, rtol=1e-5)
    mirrored = engine.infer({'image': images[:, :, ::-1]})
    np.testing.assert_allclose(mirrored['mean'], expected, rtol=1e-5)


def test_outputs_belong_to_the_caller(engine: NcnnEngine) -> None:
    first = engine.infer({'image': _images(1)})['mean']
    kept = first.copy()
    engine.infer({'image': np.zeros((1, 4, 6, 3), np.uint8)})
    np.testing.assert_array_equal(first, kept)


@needs_ncnn
def test_a_file_of_another_network_is_refused(path: Path) -> None:
    larger = (TensorSpec('image', (DYNAMIC, 8, 6, 3), np.dtype(np.uint8)),)
    with pytest.raises(InferenceError, match='not this network: expected the input'):
        NcnnEngine(dataclasses.replace(SPEC, inputs=larger), path)
    other = (TensorSpec('score', (DYNAMIC, 3), np.dtype(np.float32)),)
    with pytest.raises(InferenceError, match='its outputs are mean; score missing'):
        NcnnEngine(dataclasses.replace(SPEC, outputs=other), path)


def test_an_output_of_another_size_is_refused(ncnn: None, path: Path) -> None:
    five = (TensorSpec('mean', (DYNAMIC, 5), np.dtype(np.float32)),)
    with (
        NcnnEngine(dataclasses.replace(SPEC, outputs=five), path) as engine,
        pytest.raises(InferenceError, match=r'output mean float32\[N,5\]: got .*\[3\]'),
    ):
        engine.infer({'image': _images(1)})


@needs_ncnn
def test_a_graph_that_ncnn_does_not_know_is_refused(path: Path) -> None:
    path.write_bytes(pack(GRAPH.replace('Scale', 'Magic'), WEIGHTS))
    with pytest.raises(InferenceError, match='cannot be loaded by this version of ncnn'):
        NcnnEngine(SPEC, path)


@needs_ncnn
def test_missing_and_damaged_files_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match='cannot be read: No such file'):
        NcnnEngine(SPEC, tmp_path / 'none.ncnn')
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InferenceError, match=r'tiny on ncnn .*is truncated'):
        NcnnEngine(SPEC, path)


@needs_ncnn
def test_an_input_that_is_no_image_is_refused(path: Path) -> None:
    planar = (TensorSpec('image', (DYNAMIC, 3, 4, 6), np.dtype(np.uint8)),)
    with pytest.raises(InferenceError, match=r'expected one input uint8\[N,H,W,3\]'):
        NcnnEngine(dataclasses.replace(SPEC, inputs=planar), path)


def test_threads_must_be_positive(path: Path) -> None:
    with pytest.raises(InferenceError, match='at least 1 thread, got 0'):
        NcnnEngine(SPEC, path, threads=0)


def test_without_ncnn_it_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'ncnn', None)
    with pytest.raises(InferenceError, match='ncnn cannot be imported'):
        NcnnEngine(SPEC, path)
