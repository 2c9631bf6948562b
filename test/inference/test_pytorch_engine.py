# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference import pytorch_engine
from aitable_ros.inference.engine import InferenceError, TensorSpec
from aitable_ros.inference.pytorch_engine import PyTorchEngine
from aitable_ros.model_zoo.emonet.contract import emonet_spec

SPEC = emonet_spec(8)


def _images(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip('torch', reason='PyTorch is not installed')
    from aitable_ros.model_zoo.emonet.network import random_emonet

    path = tmp_path_factory.mktemp('pytorch') / 'emonet.pth'
    torch.save(random_emonet(8, seed=4).state_dict(), path)
    return path


@pytest.fixture
def engine(checkpoint: Path) -> Iterator[PyTorchEngine]:
    with PyTorchEngine(SPEC, checkpoint, device='cpu') as engine:
        yield engine


def test_outputs_are_those_of_the_module(engine: PyTorchEngine, checkpoint: Path) -> None:
    import torch

    from aitable_ros.model_zoo.emonet.network import load_emonet

    images = _images(2)
    outputs = engine.infer({'image': images})
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255.0)
    expected = load_emonet(checkpoint).model(pixels)
    for output in SPEC.outputs:
        array = outputs[output.name]
        reference = expected[output.name].reshape(2, -1).numpy()
        assert array.shape == (2, *output.shape[1:])
        assert array.dtype == output.dtype
        assert np.abs(array - reference).max() < 1e-4 * np.abs(reference).max()


def test_large_batches_are_run_in_parts(
    engine: PyTorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = _images(3)
    whole = engine.infer({'image': images})
    sizes = []
    run = engine._run
    monkeypatch.setattr(pytorch_engine, 'MAX_BATCH', 2)
    monkeypatch.setattr(engine, '_run', lambda part: sizes.append(len(part)) or run(part))
    parts = engine.infer({'image': images})
    assert sizes == [2, 1]
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, rtol=1e-4, atol=1e-4 * np.abs(array).max())


def test_any_memory_layout_is_taken(engine: PyTorchEngine) -> None:
    images = _images(1)
    mirrored = images[:, :, ::-1]
    frozen = np.ascontiguousarray(mirrored)
    frozen.setflags(write=False)
    first, second = engine.infer({'image': mirrored}), engine.infer({'image': frozen})
    np.testing.assert_array_equal(first['expression'], second['expression'])


def test_the_number_of_threads_of_the_process_is_left_as_it_was(checkpoint: Path) -> None:
    import torch

    before = torch.get_num_threads()
    seen = []
    with PyTorchEngine(SPEC, checkpoint, threads=before + 1, device='cpu') as engine:
        run = engine._model

        def watched(pixels: Any) -> Any:
            seen.append(torch.get_num_threads())
            return run(pixels)

        engine._model = watched
        engine.infer({'image': _images(1)})
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_a_device_that_is_not_there_is_refused(checkpoint: Path) -> None:
    with pytest.raises(InferenceError, match=r"device 'cuda:99' cannot be used"):
        PyTorchEngine(SPEC, checkpoint, device='cuda:99')
    with pytest.raises(InferenceError, match=r"device 'toaster' cannot be used"):
        PyTorchEngine(SPEC, checkpoint, device='toaster')


def test_a_checkpoint_of_another_network_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match='8-class network, not of the 5-class'):
        PyTorchEngine(emonet_spec(5), checkpoint)
    damaged = tmp_path / 'emonet.pth'
    damaged.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InferenceError, match=r'emonet on pytorch .*truncated or damaged'):
        PyTorchEngine(SPEC, damaged)
    with pytest.raises(InferenceError, match='no such file'):
        PyTorchEngine(SPEC, tmp_path / 'none.pth')


def test_names_with_an_ending_find_their_code(checkpoint: Path) -> None:
    with PyTorchEngine(emonet_spec(8, name='emonet_8'), checkpoint) as engine:
        assert engine.name == 'emonet_8'


def test_a_network_without_code_is_refused(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, name='face_mesh')
    with pytest.raises(InferenceError, match='there is code only for emonet'):
        PyTorchEngine(spec, tmp_path / 'face_mesh.pth')


def test_an_input_that_is_no_image_is_refused(tmp_path: Path) -> None:
    spec = dataclasses.replace(
        SPEC, inputs=(TensorSpec('image', (-1, 3, 256, 256), np.dtype(np.float32)),)
    )
    with pytest.raises(InferenceError, match=r'expected one input uint8\[N,H,W,C\]'):
        PyTorchEngine(spec, tmp_path / 'emonet.pth')


def test_threads_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match='at least 1 thread, got 0'):
        PyTorchEngine(SPEC, tmp_path / 'emonet.pth', threads=0)


def test_failures_while_running_name_the_engine(engine: PyTorchEngine) -> None:
    def broken(pixels: Any) -> Any:
        raise RuntimeError('out of\nmemory')

    engine._model = broken
    with pytest.raises(InferenceError, match='emonet on pytorch .* run failed: out of memory'):
        engine.infer({'image': _images(1)})


def test_a_closed_engine_and_a_wrong_shape_are_refused(checkpoint: Path) -> None:
    engine = PyTorchEngine(SPEC, checkpoint)
    with pytest.raises(InferenceError, match=r'input image .*got uint8\[1, 128, 128, 3\]'):
        engine.infer({'image': np.zeros((1, 128, 128, 3), np.uint8)})
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match='used after close'):
        engine.infer({'image': _images(1)})


def test_without_pytorch_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torch', None)
    with pytest.raises(InferenceError, match='PyTorch cannot be imported'):
        PyTorchEngine(SPEC, tmp_path / 'emonet.pth')
