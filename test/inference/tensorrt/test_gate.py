# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Why TensorRT is skipped, and that it is skipped quickly; and the records of engine files."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import importlib.util
import json
import math
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aitable_ros.inference.engine import InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import load_engine
from aitable_ros.inference.tensorrt import engine as tensorrt_engine
from aitable_ros.inference.tensorrt import gate as tensorrt_gate
from aitable_ros.inference.tensorrt.runtime import MODULES, explain_refusal
from aitable_ros.inference.tensorrt.sidecar import (
    EngineSidecar,
    Gpu,
    read_sidecar,
    sidecar_path,
)

ORIN = Gpu('Orin', '8.7', 8)
FLOAT32 = np.dtype(np.float32)
SPEC = ModelSpec(
    'toy',
    (TensorSpec('image', (-1, 4, 4, 3), np.dtype(np.uint8)),),
    (TensorSpec('mean', (-1, 1), FLOAT32),),
    chain=('tensorrt',),
)
PLAN = b'a plan' * 100


def _record(**changes: Any) -> EngineSidecar:
    record = EngineSidecar(
        model='toy',
        key='k',
        engine_sha256=hashlib.sha256(PLAN).hexdigest(),
        engine_size=len(PLAN),
        onnx_sha256='o',
        onnx_source='toy.onnx',
        tensorrt='10.3.0',
        gpu=ORIN,
        precision='fp16',
        inputs=('image uint8[N,4,4,3]',),
        outputs=('mean float32[N,1]',),
        batches=((1, 1, 1), (1, 4, 4)),
        options={'workspace_mib': None},
        flags=('FP16',),
        fp32_layers=('Conv_5',),
        build_seconds=12.5,
        built_at='2026-01-01T00:00:00+00:00',
    )
    return dataclasses.replace(record, **changes)


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    """Let each test find out about the machine for itself."""
    cached = (tensorrt_gate.local_gpu, tensorrt_gate._modules)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A Jetson with TensorRT 10.3 and PyCUDA, whose engine class tells what it was given."""
    found = types.SimpleNamespace(trt=types.SimpleNamespace(__version__='10.3.0'), opened=[])
    installed = {'tensorrt', 'pycuda'}
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> object:
        return object() if name in installed else find_spec(name, package)

    def open_engine(spec: ModelSpec, path: Path, **settings: Any) -> object:
        found.opened.append(settings)
        return types.SimpleNamespace(name=spec.name, path=path)

    monkeypatch.setattr(tensorrt_gate, 'local_gpu', lambda: ORIN)
    monkeypatch.setattr(tensorrt_gate, '_modules', lambda: found.trt)
    monkeypatch.setattr(importlib.util, 'find_spec', find)
    monkeypatch.setattr(tensorrt_engine, 'TensorRtEngine', open_engine)
    found.installed = installed
    return found


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine file and its record."""
    path = tmp_path / 'toy.engine'
    path.write_bytes(PLAN)
    sidecar_path(path).write_text(_record().to_json())
    return path


def _skipped(path: Path, spec: ModelSpec = SPEC) -> str:
    with pytest.raises(InferenceError) as caught:
        load_engine(spec, 'tensorrt', engines_dir=path.parent)
    assert '\n' not in str(caught.value)
    return str(caught.value)


class TestRecord:
    def test_comes_back_as_it_was_written(self, engine: Path) -> None:
        assert read_sidecar(engine) == _record()

    def test_lies_beside_the_engine_under_its_whole_name(self, engine: Path) -> None:
        assert sidecar_path(engine).name == 'toy.engine.json'

    def test_of_a_later_version_with_more_entries_is_read(self, engine: Path) -> None:
        values = json.loads(sidecar_path(engine).read_text()) | {'later': 1}
        sidecar_path(engine).write_text(json.dumps(values))
        assert read_sidecar(engine) == _record()

    @pytest.mark.parametrize(
        'text',
        [
            '',
            '[]',
            '{}',
            '{"format": 1}',
            '{"format": 1, "gpu": 3}',
            '\x00\xff',
            _record().to_json().replace('"format": 1', '"format": 2'),
            _record().to_json().replace('"engine_sha256": "', '"engine_sha256": 1, "x": "'),
            _record().to_json().replace('"multiprocessors"', '"cores"'),
            _record().to_json().replace('"engine_size": 600', '"engine_size": "600"'),
            _record(batches=((1, 1, math.inf),)).to_json(),
            _record().to_json().replace('"toy.onnx"', '1'),
            '[' * 100_000,
        ],
    )
    def test_that_is_none_counts_as_missing(self, engine: Path, text: str) -> None:
        sidecar_path(engine).write_text(text)
        assert read_sidecar(engine) is None


class TestSkipping:
    def test_a_good_engine_is_loaded(self, machine: types.SimpleNamespace, engine: Path) -> None:
        chosen = load_engine(SPEC, engines_dir=engine.parent)
        assert (chosen.backend, chosen.path) == ('tensorrt', engine)
        assert machine.opened == [{'allow_host_code': False}]

    def test_memory_is_mapped_if_the_catalog_says_so(
        self, machine: types.SimpleNamespace, engine: Path
    ) -> None:
        load_engine(dataclasses.replace(SPEC, mapped_memory=True), engines_dir=engine.parent)
        assert machine.opened == [{'allow_host_code': False, 'mapped_memory': True}]

    def test_one_without_a_record_is_left_to_tensorrt(
        self, machine: types.SimpleNamespace, engine: Path
    ) -> None:
        sidecar_path(engine).unlink()
        load_engine(SPEC, engines_dir=engine.parent)
        assert machine.opened == [{'allow_host_code': False}]

    def test_no_driver(self, engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tensorrt_gate, 'DRIVER_LIBRARY', 'libno_such_driver.so.1')
        assert 'there is no CUDA device: the NVIDIA driver (libno_such' in _skipped(engine)

    def test_a_driver_that_is_there_and_cannot_be_loaded(
        self, engine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        # on a Jetson, a container that was started without the GPU has an empty file for it
        empty = tmp_path / 'libcuda.so.1'
        empty.touch()
        monkeypatch.setattr(tensorrt_gate, 'DRIVER_LIBRARY', str(empty))
        reason = _skipped(engine)
        assert f'the NVIDIA driver cannot be loaded: {empty}: file too short' in reason
        assert 'not installed' not in reason

    def test_no_tensorrt(self, machine: types.SimpleNamespace, engine: Path) -> None:
        machine.installed.remove('tensorrt')
        if any(map(importlib.util.find_spec, MODULES)):
            pytest.skip('TensorRT is installed')
        assert 'module tensorrt or tensorrt_lean' in _skipped(engine)
        assert 'part of JetPack' in _skipped(engine)

    def test_no_pycuda(self, machine: types.SimpleNamespace, engine: Path) -> None:
        machine.installed.remove('pycuda')
        if importlib.util.find_spec('pycuda'):
            pytest.skip('PyCUDA is installed')
        assert 'module pycuda is not installed (pip install pycuda)' in _skipped(engine)

    def test_modules_that_cannot_be_imported(
        self, machine: types.SimpleNamespace, engine: Path
    ) -> None:
        machine.trt = 'tensorrt cannot be imported: libnvinfer.so.10: no such file'
        assert 'toy cannot run on tensorrt: tensorrt cannot be imported: libnv' in _skipped(engine)

    def test_no_engine(self, machine: types.SimpleNamespace, engine: Path) -> None:
        engine.unlink()
        assert (
            f'{engine} is missing (python3 -m aitable_ros.tools.build_engines toy'
            f' --engines-dir {engine.parent})' in _skipped(engine)
        )

    def test_another_tensorrt(self, machine: types.SimpleNamespace, engine: Path) -> None:
        machine.trt.__version__ = '10.7.0'
        reason = _skipped(engine)
        assert 'built for another TensorRT version: 10.3.0; here is 10.7.0' in reason
        assert 'tools.build_engines toy' in reason

    @pytest.mark.parametrize(
        'gpu', [Gpu('NVIDIA H200', '9.0', 132), Gpu('Orin', '8.7', 16), Gpu('Orin', '8.8', 8)]
    )
    def test_another_gpu(self, machine: types.SimpleNamespace, engine: Path, gpu: Gpu) -> None:
        sidecar_path(engine).write_text(_record(gpu=gpu).to_json())
        reason = _skipped(engine)
        assert f'built for another GPU: {gpu}; this is {ORIN}' in reason
        assert 'tools.build_engines toy' in reason

    @pytest.mark.parametrize(
        ('content', 'told'),
        [
            (PLAN[:-1], 'truncated: 599 of 600 bytes'),
            (b'', 'truncated: 0 of 600 bytes'),
            (b'x' + PLAN[1:], 'damaged: its sha256 is not the one recorded'),
            (PLAN + b'x', 'damaged'),
        ],
    )
    def test_another_content(
        self, machine: types.SimpleNamespace, engine: Path, content: bytes, told: str
    ) -> None:
        engine.write_bytes(content)
        reason = _skipped(engine)
        assert told in reason
        assert 'tools.build_engines toy' in reason

    @pytest.mark.parametrize('model', [b'trained anew', b'as it was', None])
    def test_an_onnx_file_that_was_replaced_since(
        self, machine: types.SimpleNamespace, engine: Path, model: bytes | None
    ) -> None:
        # as a checkpoint of one's own by a better one: the old network must not run on unnoticed
        onnx = engine.with_suffix('.onnx')
        record = _record(
            onnx_source=str(onnx), onnx_sha256=hashlib.sha256(b'as it was').hexdigest()
        )
        sidecar_path(engine).write_text(record.to_json())
        if model is not None:
            onnx.write_bytes(model)
        if model == b'trained anew':
            reason = _skipped(engine)
            assert 'is out of date: it was built from another toy.onnx' in reason
            assert 'tools.build_engines toy' in reason
        else:
            load_engine(SPEC, engines_dir=engine.parent)

    def test_an_engine_from_another_place_s_onnx_file_has_nothing_to_do_with_this_one(
        self, machine: types.SimpleNamespace, engine: Path
    ) -> None:
        record = _record(onnx_source=f'{engine.with_suffix(".tflite")} (converted)')
        sidecar_path(engine).write_text(record.to_json())
        engine.with_suffix('.onnx').write_bytes(b'for the CPU')
        load_engine(SPEC, engines_dir=engine.parent)
        assert machine.opened == [{'allow_host_code': False}]

    @pytest.mark.parametrize(
        ('said', 'helps'),
        [
            ('toy on tensorrt: not this network: output mean is missing', True),
            ('the file is truncated', True),
            ('it was built for another GPU; build it on this one', True),
            ('it was built for another TensorRT version (8.6.1); build it with this one', True),
            (
                'not enough GPU memory: for batch 4 it needs 900 MiB, 100 of 8000 MiB are free',
                False,
            ),
            ('recording failed', False),
        ],
    )
    def test_what_the_engine_class_says_with_the_command_where_it_helps(
        self,
        machine: types.SimpleNamespace,
        engine: Path,
        monkeypatch: pytest.MonkeyPatch,
        said: str,
        helps: bool,
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise InferenceError(said)

        monkeypatch.setattr(tensorrt_engine, 'TensorRtEngine', refuse)
        reason = _skipped(engine)
        assert said in reason
        assert ('tools.build_engines toy' in reason) == helps


class TestHostCode:
    @pytest.fixture
    def compatible(self, engine: Path) -> Path:
        record = _record(version_compatible=True, tensorrt='8.6.1')
        sidecar_path(engine).write_text(record.to_json())
        return engine

    def test_a_plan_that_carries_code_is_refused(
        self, machine: types.SimpleNamespace, compatible: Path
    ) -> None:
        reason = _skipped(compatible)
        sha256 = hashlib.sha256(PLAN).hexdigest()
        assert f"host_code_sha256: '{sha256}' under toy in models.yaml" in reason
        assert machine.opened == []

    def test_of_a_file_that_the_user_brings_the_advice_is_one_that_can_be_followed(
        self, machine: types.SimpleNamespace, compatible: Path
    ) -> None:
        own = dataclasses.replace(SPEC, inputs=(), outputs=())
        reason = _skipped(compatible, own)
        assert 'models.yaml' not in reason
        assert f'build_engines toy --onnx {compatible.with_suffix(".onnx")} --engines-' in reason
        assert machine.opened == []

    def test_unless_exactly_it_is_named_also_of_an_older_tensorrt(
        self, machine: types.SimpleNamespace, compatible: Path
    ) -> None:
        sha256 = hashlib.sha256(PLAN).hexdigest()
        named = dataclasses.replace(SPEC, host_code_sha256=sha256)
        load_engine(named, engines_dir=compatible.parent)
        assert machine.opened == [{'allow_host_code': True}]
        other = dataclasses.replace(SPEC, host_code_sha256='0' * 64)
        assert 'carries code' in _skipped(compatible, other)

    @pytest.mark.parametrize('named', ['', '0' * 64])
    def test_one_without_a_record_is_refused_by_tensorrt_and_the_advice_is_the_same(
        self,
        machine: types.SimpleNamespace,
        engine: Path,
        monkeypatch: pytest.MonkeyPatch,
        named: str,
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            said = 'Cannot deserialize engine since IRuntime::getEngineHostCodeAllowed() is false.'
            raise InferenceError(explain_refusal(PLAN, said))

        monkeypatch.setattr(tensorrt_engine, 'TensorRtEngine', refuse)
        sidecar_path(engine).unlink()
        reason = _skipped(engine, dataclasses.replace(SPEC, host_code_sha256=named))
        sha256 = hashlib.sha256(PLAN).hexdigest()
        assert f"host_code_sha256: '{sha256}' under toy in models.yaml" in reason
        own = _skipped(engine, dataclasses.replace(SPEC, inputs=(), outputs=()))
        assert 'models.yaml' not in own
        assert f'build_engines toy --onnx {engine.with_suffix(".onnx")} --engines-' in own

    def test_the_name_of_another_file_allows_nothing_to_one_without_a_record(
        self, machine: types.SimpleNamespace, engine: Path
    ) -> None:
        sidecar_path(engine).unlink()
        other = dataclasses.replace(SPEC, host_code_sha256='0' * 64)
        load_engine(other, engines_dir=engine.parent)
        assert machine.opened == [{'allow_host_code': False}]


class TestSpeed:
    def test_without_a_driver_it_is_quick_and_imports_nothing(self, tmp_path: Path) -> None:
        script = """
import sys, time
from pathlib import Path
from aitable_ros.inference import selection, tensorrt_gate
from aitable_ros.inference.model_spec import ModelSpec
tensorrt_gate.DRIVER_LIBRARY = 'libno_such_driver.so.1'
start = time.perf_counter()
for name in ('a', 'b', 'c'):
    try:
        selection.load_engine(ModelSpec(name, (), (), chain=('tensorrt',)), engines_dir=Path())
    except selection.NoBackendError as error:
        assert 'no CUDA device' in str(error), error
print(time.perf_counter() - start)
print(sorted({'tensorrt', 'pycuda', 'pycuda.driver', 'aitable_ros.inference.tensorrt.engine'}
             & set(sys.modules)))
"""
        done = subprocess.run(
            [sys.executable, '-c', script], capture_output=True, text=True, check=True
        )
        seconds, imported = done.stdout.splitlines()
        assert float(seconds) < 0.05
        assert imported == '[]'

    def test_what_cannot_be_imported_is_tried_once(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        tried: list[str] = []

        def load() -> None:
            tried.append('tensorrt')
            time.sleep(0.01)
            raise InferenceError('tensorrt cannot be imported: no libnvinfer')

        monkeypatch.setattr(tensorrt_gate, 'load_tensorrt', load)
        for name in ('a', 'b'):
            with pytest.raises(InferenceError, match='no libnvinfer'):
                tensorrt_gate.settings(ModelSpec(name, (), ()), tmp_path / f'{name}.engine')
        assert tried == ['tensorrt']


class Driver:
    """The functions of libcuda that are asked, for a machine with these devices."""

    def __init__(self, devices: int = 1, init: int = 0) -> None:
        self.devices, self.init = devices, init

    def cuInit(self, flags: ctypes.c_uint) -> int:  # noqa: N802
        return self.init

    def cuGetErrorString(self, code: ctypes.c_int, text: Any) -> int:  # noqa: N802
        text._obj.value = b'no CUDA-capable device is detected'
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.devices
        return 0

    def cuDeviceGet(self, device: Any, ordinal: ctypes.c_int) -> int:  # noqa: N802
        return 0

    def cuDeviceGetName(self, name: Any, size: ctypes.c_int, device: Any) -> int:  # noqa: N802
        name.value = b'Orin'
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: Any, device: Any) -> int:  # noqa: N802
        value._obj.value = {16: 8, 75: 8, 76: 7}[attribute.value]
        return 0


class TestGpu:
    @pytest.fixture
    def driver(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Driver], None]:
        return lambda driver: monkeypatch.setattr(ctypes, 'CDLL', lambda name: driver)

    def test_is_read_from_the_driver(self, driver: Callable[[Driver], None]) -> None:
        driver(Driver())
        assert tensorrt_gate.local_gpu() == ORIN
        assert str(ORIN) == 'Orin (compute capability 8.7, 8 multiprocessors)'

    def test_none_is_told_in_the_driver_s_words(self, driver: Callable[[Driver], None]) -> None:
        driver(Driver(init=100))
        assert tensorrt_gate.local_gpu() == (
            'there is no CUDA device that works: cuInit: no CUDA-capable device is detected'
            ' (error 100)'
        )

    def test_a_driver_without_devices(self, driver: Callable[[Driver], None]) -> None:
        driver(Driver(devices=0))
        assert tensorrt_gate.local_gpu() == 'there is no CUDA device'
