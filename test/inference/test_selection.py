# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import errno
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aitable_ros.inference import selection
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import (
    BACKENDS,
    Backend,
    NoBackendError,
    Selection,
    Skipped,
    list_skipped,
    load_engine,
)
from aitable_ros.inference.tensorrt import gate as tensorrt_gate
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools import fetch_models
from aitable_ros.tools.build_engines import command as build_engines

pytestmark = pytest.mark.models

IMAGE = np.zeros((1, 192, 192, 3), np.uint8)
FACE_MESH_FILES = ('face_mesh.tflite', 'face_mesh.onnx', 'face_mesh.json')


@pytest.fixture
def spec() -> ModelSpec:
    return dataclasses.replace(CONTRACTS['face_mesh'], chain=('litert', 'onnxruntime'))


@pytest.fixture
def folder(engines_dir: Path, tmp_path: Path) -> Path:
    """An engines folder of the test's own, with face_mesh in it."""
    for name in FACE_MESH_FILES:
        shutil.copyfile(engines_dir / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Backend]:
    """The registry, open for changes."""
    changed = dict(BACKENDS)
    monkeypatch.setattr(selection, 'BACKENDS', changed)
    return changed


def _check_runs(chosen: Selection) -> None:
    with chosen.engine as engine:
        assert engine.infer({'image': IMAGE})['landmarks'].shape == (1, 468, 3)


def test_auto_takes_the_first_of_the_chain(spec: ModelSpec, folder: Path) -> None:
    chosen = load_engine(spec, engines_dir=folder)
    assert (chosen.backend, chosen.engine.backend) == ('litert', 'litert')
    assert chosen.path == folder / 'face_mesh.tflite'
    assert chosen.explain() == f'face_mesh runs on litert ({folder}/face_mesh.tflite)'
    _check_runs(chosen)


def test_the_chain_s_order_decides(spec: ModelSpec, folder: Path) -> None:
    spec = dataclasses.replace(spec, chain=('onnxruntime', 'litert'))
    chosen = load_engine(spec, 'auto', engines_dir=folder, threads=2)
    assert (chosen.backend, chosen.skipped) == ('onnxruntime', ())
    assert chosen.path == folder / 'face_mesh.onnx'
    _check_runs(chosen)


def test_a_reason_that_holds_for_several_is_told_once() -> None:
    skipped = (
        Skipped('tensorrt', 'there is no GPU'),
        Skipped('tensorrt_rtx', 'there is no GPU'),
        Skipped('litert', 'not installed'),
    )
    told = 'tensorrt, tensorrt_rtx: there is no GPU; litert: not installed'
    assert list_skipped(skipped) == told


def test_a_missing_file_is_skipped_with_the_command_that_brings_it(
    spec: ModelSpec, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / 'face_mesh.tflite').unlink()
    chosen = load_engine(spec, engines_dir=folder)
    assert chosen.backend == 'onnxruntime'
    (skipped,) = chosen.skipped
    assert skipped.backend == 'litert'
    assert f'{folder}/face_mesh.tflite is missing' in skipped.reason
    assert chosen.explain() == (
        f'face_mesh runs on onnxruntime ({folder}/face_mesh.onnx); skipped: {skipped}'
    )
    _check_runs(chosen)
    command = shlex.split(skipped.reason[skipped.reason.index('(') + 1 : -1])
    assert command[:3] == ['python3', '-m', 'aitable_ros.tools.fetch_models']
    assert fetch_models.main([*command[3:], '--list']) == 1
    assert 'face_mesh.tflite  ' in capsys.readouterr().out


def test_a_folder_that_cannot_be_looked_into_is_a_reason_too(
    spec: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(NoBackendError, match=r'litert: .*(cannot be read|missing).*; onnxruntime'):
        load_engine(spec, engines_dir=tmp_path / ('x' * 1000))


def test_a_file_that_may_not_be_looked_at_is_skipped(
    spec: ModelSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_file = Path.is_file

    def look(path: Path) -> bool:
        if path.name == 'face_mesh.tflite':
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return is_file(path)

    monkeypatch.setattr(Path, 'is_file', look)
    chosen = load_engine(spec, engines_dir=folder)
    assert chosen.backend == 'onnxruntime'
    assert chosen.skipped[0].reason == (
        f'{folder}/face_mesh.tflite cannot be read: Permission denied'
    )
    _check_runs(chosen)


@pytest.mark.parametrize('recorded', [True, False])
def test_a_damaged_file_is_skipped(spec: ModelSpec, folder: Path, recorded: bool) -> None:
    path = folder / 'face_mesh.tflite'
    path.write_bytes(path.read_bytes()[:5000])
    if not recorded:
        (folder / 'face_mesh.json').unlink()
    chosen = load_engine(spec, engines_dir=folder)
    assert chosen.backend == 'onnxruntime'
    assert 'face_mesh.tflite is ' in chosen.skipped[0].reason
    assert '\n' not in chosen.explain()
    _check_runs(chosen)


def test_a_changed_weight_is_noticed_by_the_record(spec: ModelSpec, folder: Path) -> None:
    path = folder / 'face_mesh.onnx'
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InferenceError, match=r'face_mesh\.onnx is damaged: its sha256 .*fetch_mo'):
        load_engine(spec, 'onnxruntime', engines_dir=folder)


@pytest.mark.parametrize('record', ['', '[]', '{"files": {"face_mesh.tflite": 1}}', '{}'])
def test_without_a_usable_record_the_file_is_taken_as_it_is(
    spec: ModelSpec, folder: Path, record: str
) -> None:
    (folder / 'face_mesh.json').write_text(record)
    assert load_engine(spec, engines_dir=folder).backend == 'litert'


def test_files_that_are_being_replaced_are_not_called_damaged(
    spec: ModelSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads((folder / 'face_mesh.json').read_text())
    record['files']['face_mesh.tflite']['sha256'] = 'of an earlier version'
    (folder / 'face_mesh.json').write_text(json.dumps(record))
    original = selection._recorded_sha256

    def read_then_fetched(sidecar: Path, file_name: str) -> str | None:
        sha256 = original(sidecar, file_name)
        sidecar.unlink(missing_ok=True)  # as the first step of fetching does
        return sha256

    monkeypatch.setattr(selection, '_recorded_sha256', read_then_fetched)
    assert load_engine(spec, 'litert', engines_dir=folder).backend == 'litert'


def test_the_file_of_another_network_is_skipped(
    spec: ModelSpec, folder: Path, engines_dir: Path
) -> None:
    (folder / 'face_mesh.json').unlink()
    for suffix in ('.tflite', '.onnx'):
        shutil.copyfile(engines_dir / f'face_detection{suffix}', folder / f'face_mesh{suffix}')
    with pytest.raises(NoBackendError, match=r'litert: .*192.*; onnxruntime: .*192'):
        load_engine(spec, engines_dir=folder)


def test_a_runtime_that_is_not_installed_is_skipped_by_name(
    spec: ModelSpec, folder: Path, backends: dict[str, Backend]
) -> None:
    backends['tensorrt'] = Backend(
        module='aitable_ros.inference.never_imported',
        engine='Never',
        suffix='.engine',
        runtimes=('a_module_nobody_has',),
        install='apt install python3-libnvinfer',
    )
    spec = dataclasses.replace(spec, chain=('tensorrt', 'litert'))
    chosen = load_engine(spec, engines_dir=folder)
    assert chosen.explain().endswith(
        '; skipped: tensorrt: module a_module_nobody_has is not installed'
        ' (apt install python3-libnvinfer)'
    )


def test_a_runtime_that_breaks_in_its_own_way_does_not_end_the_chain(
    spec: ModelSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError('libcudart.so.12: cannot open\nshared object file')

    module = importlib.import_module(BACKENDS['litert'].module)
    monkeypatch.setattr(module, BACKENDS['litert'].engine, broken)
    chosen = load_engine(spec, engines_dir=folder)
    assert chosen.backend == 'onnxruntime'
    assert chosen.skipped[0].reason == (
        f'{folder}/face_mesh.tflite: OSError: libcudart.so.12: cannot open shared object file'
    )


def test_a_named_backend_is_that_one_or_an_error(spec: ModelSpec, folder: Path) -> None:
    assert load_engine(spec, 'onnxruntime', engines_dir=folder).backend == 'onnxruntime'
    (folder / 'face_mesh.onnx').unlink()
    with pytest.raises(
        InferenceError, match=r'face_mesh cannot run on onnxruntime: .* is missing'
    ):
        load_engine(spec, 'onnxruntime', engines_dir=folder)


def test_a_named_backend_need_not_be_in_the_chain(spec: ModelSpec, folder: Path) -> None:
    spec = dataclasses.replace(spec, chain=('litert',))
    assert load_engine(spec, 'onnxruntime', engines_dir=folder).backend == 'onnxruntime'


@pytest.mark.parametrize('name', ['tensorflow', '', 'LiteRT', 'auto '])
def test_an_unknown_backend_is_an_error_that_lists_the_known(
    spec: ModelSpec, folder: Path, name: str
) -> None:
    with pytest.raises(InferenceError, match=r'unknown backend .* auto, litert, onnxruntime'):
        load_engine(spec, name, engines_dir=folder)


def test_when_none_works_every_reason_is_given(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(NoBackendError) as caught:
        load_engine(spec, engines_dir=tmp_path / 'with space')
    message = str(caught.value)
    assert message.startswith('face_mesh has no working backend: litert: ')
    assert 'face_mesh.tflite is missing' in message
    assert '; onnxruntime: ' in message
    assert 'face_mesh.onnx is missing' in message
    assert f"--engines-dir '{tmp_path}/with space'" in message
    assert [entry.backend for entry in caught.value.skipped] == ['litert', 'onnxruntime']
    assert all(str(entry) in message for entry in caught.value.skipped)
    empty = ModelSpec('thing', spec.inputs, spec.outputs)
    with pytest.raises(NoBackendError, match='its chain of backends is empty'):
        load_engine(empty, engines_dir=tmp_path)


@pytest.mark.parametrize('name', BACKENDS)
def test_every_registered_backend_exists_and_knows_its_name(name: str) -> None:
    entry = BACKENDS[name]
    engine = getattr(importlib.import_module(entry.module), entry.engine)
    assert engine.backend == name
    assert entry.suffix.startswith('.')


def test_choosing_imports_no_runtime_ros_or_yaml_but_the_chosen_one(folder: Path) -> None:
    script = """
import sys
from pathlib import Path
from aitable_ros.inference.selection import load_engine
from aitable_ros.inference.model_spec import ModelSpec
heavy = {'yaml', 'rclpy', 'onnxruntime', 'ai_edge_litert', 'onnx', 'cv2'}
print(sorted(heavy & set(sys.modules)))
from aitable_ros.inference.engine import TensorSpec
import numpy as np
image = TensorSpec('image', (-1, 192, 192, 3), np.dtype(np.uint8))
presence = TensorSpec('presence', (-1, 1), np.dtype(np.float32))
spec = ModelSpec('face_mesh', (image,), (presence,), scale=1 / 255,
                 tflite_outputs={'conv2d_31': 'presence'}, chain=('litert', 'onnxruntime'))
load_engine(spec, engines_dir=Path(sys.argv[1]))
print(sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, '-c', script, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == ['[]', "['ai_edge_litert']"]


def test_tensorrt_first_falls_back_and_says_why(spec: ModelSpec, folder: Path) -> None:
    spec = dataclasses.replace(spec, chain=('tensorrt', 'litert', 'onnxruntime'))
    chosen = load_engine(spec, engines_dir=folder)  # there is no engine file in any case
    assert chosen.backend == 'litert'
    (skipped,) = chosen.skipped
    assert skipped.backend == 'tensorrt'
    assert re.search(
        'no CUDA device|is not installed|cannot be imported|build_engines face_mesh',
        skipped.reason,
    )
    _check_runs(chosen)


@pytest.mark.parametrize(
    ('model', 'backend', 'suffix', 'forms'),
    [
        ('face_mesh', 'pytorch', '.pth', '.tflite and .onnx'),
        ('face_mesh', 'ncnn', '.ncnn', '.tflite and .onnx'),
        ('emonet', 'litert', '.tflite', '.pth and .onnx and .ncnn'),
    ],
)
def test_of_a_file_that_nothing_makes_no_command_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    backend: str,
    suffix: str,
    forms: str,
) -> None:
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
    with pytest.raises(InferenceError) as caught:
        load_engine(CONTRACTS[model], backend, engines_dir=tmp_path)
    path = tmp_path / f'{model}{suffix}'
    assert f'{path} is missing ({model} comes as {forms} alone)' in str(caught.value)


def test_of_a_network_of_one_s_own_the_commands_are_ones_that_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_gate, 'absence', lambda: '')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
    spec = ModelSpec('yolo_pose', (), (), chain=('tensorrt', 'onnxruntime'))
    with pytest.raises(NoBackendError) as caught:
        load_engine(spec, engines_dir=tmp_path)
    (build,) = re.findall(r'yolo_pose\.engine is missing \((.*?)\)', str(caught.value))
    onnx = tmp_path / 'yolo_pose.onnx'
    assert shlex.split(build)[3:] == [
        *('yolo_pose', '--onnx', str(onnx), '--engines-dir', str(tmp_path))
    ]
    assert build_engines.main([*shlex.split(build)[3:], '--list']) == 0
    assert f'{onnx} is missing (a network of your own: put its file there)' in str(caught.value)


def test_a_missing_engine_names_the_command_that_builds_it(
    spec: ModelSpec, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(tensorrt_gate, 'absence', lambda: '')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
    spec = dataclasses.replace(spec, chain=('tensorrt', 'litert'))
    (skipped,) = load_engine(spec, engines_dir=folder).skipped
    command = shlex.split(skipped.reason[skipped.reason.index('(') + 1 : -1])
    assert command[:3] == ['python3', '-m', 'aitable_ros.tools.build_engines']
    assert build_engines.main([*command[3:], '--list']) == 0
    assert 'face_mesh.engine' in capsys.readouterr().out
