# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.ncnn_engine import NcnnEngine
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.inference.pytorch_engine import PyTorchEngine
from aitable_ros.inference.selection import load_engine
from aitable_ros.model_zoo import files
from aitable_ros.model_zoo.emonet import export as emonet_export
from aitable_ros.model_zoo.emonet import onnx_writer
from aitable_ros.model_zoo.emonet.contract import emonet_spec
from aitable_ros.model_zoo.emonet.export import (
    MAX_RELATIVE_DIFFERENCE,
    export_emonet,
)
from aitable_ros.model_zoo.emonet.onnx_writer import build_onnx
from aitable_ros.model_zoo.files import ModelFilesError
from aitable_ros.regular_files import file_sha256

HAS_NCNN = importlib.util.find_spec('ncnn') is not None


@pytest.fixture(scope='module')
def torch() -> Iterator[Any]:
    torch = pytest.importorskip('torch', reason='PyTorch is not installed')
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(before)


def _checkpoint(torch: Any, classes: int, path: Path) -> Path:
    from aitable_ros.model_zoo.emonet.network import random_emonet

    torch.save(random_emonet(classes, seed=classes).state_dict(), path)
    return path


@pytest.fixture(scope='module')
def checkpoint(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _checkpoint(torch, 8, tmp_path_factory.mktemp('weights') / 'emonet_8.pth')


@pytest.fixture(scope='module')
def said() -> list[str]:
    return []


@pytest.fixture(scope='module')
def exported(checkpoint: Path, said: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('export') / 'engines'
    export_emonet(checkpoint, folder, progress=said.append)
    return folder


@pytest.fixture
def no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the comparison with PyTorch, which takes seconds, where it is not the point."""
    monkeypatch.setattr(emonet_export, '_run_module', lambda *_: {})
    monkeypatch.setattr(emonet_export, 'largest_difference', lambda *_: 0.0)


def _images(count: int) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(7)
    small = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


def test_the_files_are_stored_with_a_record(
    exported: Path, checkpoint: Path, said: list[str]
) -> None:
    names = {'emonet.pth', 'emonet.onnx'} | ({'emonet.ncnn'} if HAS_NCNN else set())
    assert {p.name for p in exported.iterdir()} == names | {'emonet.json', '.lock'}
    assert (exported / 'emonet.pth').read_bytes() == checkpoint.read_bytes()
    record = json.loads((exported / 'emonet.json').read_text())
    assert record['classes'] == 8
    assert record['source']['file'] == 'emonet_8.pth'
    assert record['licence'] == 'CC BY-NC-ND 4.0'
    assert 'do not pass it on' in record['licence_note']
    assert {'aitable', 'torch', 'onnx', 'onnxruntime'} <= set(record['tools'])
    assert record['check']['max_relative_difference'] <= MAX_RELATIVE_DIFFERENCE
    assert set(record['files']) == names
    for name, entry in record['files'].items():
        content = (exported / name).read_bytes()
        assert entry == {'size': len(content), 'sha256': hashlib.sha256(content).hexdigest()}
    assert record['source']['sha256'] == record['files']['emonet.pth']['sha256']
    assert any('differs from PyTorch by' in line for line in said)
    assert any('ncnn is not installed' in line for line in said) != HAS_NCNN


def test_the_graph_is_one_that_old_runtimes_and_tensorrt_read(exported: Path) -> None:
    model = onnx.load(exported / 'emonet.onnx')
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [('', 17)]
    assert model.ir_version == 8
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata['source_sha256'] == file_sha256(exported / 'emonet.pth')
    assert metadata['licence'] == 'CC BY-NC-ND 4.0'
    nodes = model.graph.node
    assert nodes[0].op_type == 'Cast'  # directly behind the uint8 input
    assert list(nodes[0].input) == ['image']


@pytest.fixture(scope='module')
def reference(exported: Path, torch: Any) -> dict[str, npt.NDArray]:
    """What the module gives for two images."""
    from aitable_ros.model_zoo.emonet.network import load_emonet

    pixels = torch.from_numpy(_images(2).transpose(0, 3, 1, 2).astype(np.float32) / 255.0)
    outputs = load_emonet(exported / 'emonet.pth').model(pixels)
    return {name: tensor.reshape(2, -1).numpy() for name, tensor in outputs.items()}


@pytest.mark.parametrize('backend', ['onnxruntime', 'ncnn', 'pytorch'])
def test_every_backend_gives_the_module_s_outputs(
    exported: Path, reference: dict[str, npt.NDArray], backend: str
) -> None:
    if backend == 'ncnn' and not HAS_NCNN:
        pytest.skip('ncnn is not installed')
    spec = emonet_spec(8)
    engine_class, suffix = {
        'onnxruntime': (OnnxRuntimeEngine, '.onnx'),
        'ncnn': (NcnnEngine, '.ncnn'),
        'pytorch': (PyTorchEngine, '.pth'),
    }[backend]
    with engine_class(spec, exported / f'emonet{suffix}') as engine:
        assert engine.backend == backend
        outputs = engine.infer({'image': _images(2)})
    for output in spec.outputs:
        expected = reference[output.name]
        assert outputs[output.name].shape == expected.shape
        difference = np.abs(outputs[output.name] - expected).max()
        assert difference <= 1e-4 * np.abs(expected).max(), output.name


def test_engines_are_selected_from_what_was_stored(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'engines'
    shutil.copytree(exported, folder)
    spec = dataclasses.replace(emonet_spec(8), chain=('onnxruntime',))
    with load_engine(spec, engines_dir=folder).engine as engine:
        assert engine.path == folder / 'emonet.onnx'
    with (folder / 'emonet.onnx').open('r+b') as file:
        file.seek(5000)
        file.write(b'damage')
    with pytest.raises(InferenceError, match='is damaged: its sha256'):
        load_engine(spec, engines_dir=folder)


def test_the_5_class_network_is_exported_too(torch: Any, tmp_path: Path, no_check: None) -> None:
    path = _checkpoint(torch, 5, tmp_path / 'emonet_5.pth')
    export_emonet(path, tmp_path, name='emonet_5', progress=lambda line: None)
    with OnnxRuntimeEngine(emonet_spec(5), tmp_path / 'emonet_5.onnx') as engine:
        assert engine.infer({'image': _images(1)})['expression'].shape == (1, 5)
    with pytest.raises(InferenceError, match='not this network'):
        OnnxRuntimeEngine(emonet_spec(8), tmp_path / 'emonet_5.onnx')
    with pytest.raises(ModelFilesError, match='5-class network, not of the 8-class'):
        export_emonet(path, tmp_path, classes=8, progress=lambda line: None)


def test_weights_and_spec_must_have_the_same_classes(torch: Any) -> None:
    weights = {'emo_fc_2.3.bias': np.zeros(10, np.float32)}
    with pytest.raises(ValueError, match='the weights have 8 classes, the spec 5'):
        build_onnx(weights, emonet_spec(5))


def test_a_file_that_is_no_checkpoint_changes_nothing(torch: Any, tmp_path: Path) -> None:
    path = tmp_path / 'emonet_8.pth'
    path.write_bytes(b'<html>not found</html>')
    with pytest.raises(ModelFilesError, match=r'emonet_8\.pth: is not a PyTorch checkpoint'):
        export_emonet(path, tmp_path / 'engines')
    assert not (tmp_path / 'engines').exists()


def test_an_export_that_differs_from_pytorch_is_not_stored(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = onnx_writer._Writer._pool

    def wrong(writer: Any, x: str) -> str:
        return write(writer, writer._builder.node('Relu', [x]))

    monkeypatch.setattr(onnx_writer._Writer, '_pool', wrong)
    monkeypatch.setattr(emonet_export, 'CHECKED_BATCHES', (1,))
    with pytest.raises(ModelFilesError, match='differs from PyTorch by'):
        export_emonet(checkpoint, tmp_path / 'engines', progress=lambda line: None)
    assert not (tmp_path / 'engines').exists()


def test_an_interrupted_export_leaves_no_record(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_check: None
) -> None:
    folder = tmp_path / 'engines'
    shutil.copytree(exported, folder)
    (folder / 'emonet.onnx').write_bytes(b'of an earlier export')
    write = files.write_atomically

    def full(path: Path, content: bytes) -> None:
        if path.suffix == '.onnx':
            raise OSError(28, 'No space left on device')
        write(path, content)

    monkeypatch.setattr(files, 'write_atomically', full)
    with pytest.raises(ModelFilesError, match='cannot be written: No space left'):
        export_emonet(exported / 'emonet.pth', folder, progress=lambda line: None)
    assert not (folder / 'emonet.json').exists()


def test_without_ncnn_its_file_is_left_out(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_check: None
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == 'ncnn' else find(name)
    )
    (tmp_path / 'emonet.ncnn').write_bytes(b'of an earlier export')
    said: list[str] = []
    export_emonet(exported / 'emonet.pth', tmp_path, progress=said.append)
    assert not (tmp_path / 'emonet.ncnn').exists()
    assert any('emonet.ncnn is not made: ncnn is not installed' in line for line in said)


def test_an_ncnn_that_computes_something_else_is_left_out(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('ncnn', reason='ncnn is not installed')
    monkeypatch.setattr(emonet_export, 'CHECKED_BATCHES', (1,))

    def rounded(engine: NcnnEngine, inputs: Mapping[str, npt.NDArray]) -> Any:
        return {o.name: np.ones((1, *o.shape[1:]), np.float32) for o in engine.outputs}

    monkeypatch.setattr(NcnnEngine, '_infer', rounded)
    said: list[str] = []
    export_emonet(checkpoint, tmp_path, progress=said.append)
    assert not (tmp_path / 'emonet.ncnn').exists()
    assert (tmp_path / 'emonet.onnx').is_file()
    assert any('emonet.ncnn is not made: ' in line and 'differs' in line for line in said)


def test_without_pytorch_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torch', None)
    monkeypatch.delitem(sys.modules, 'aitable_ros.model_zoo.emonet.network', raising=False)
    with pytest.raises(ModelFilesError, match='needs PyTorch.*pip install torch'):
        export_emonet(tmp_path / 'emonet_8.pth', tmp_path)
