# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Why TensorRT is skipped, and that it is skipped quickly."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import importlib.util
import subprocess
import sys
import types

import pytest
import tensorrt_fixtures
from tensorrt_fixtures import ORIN, PLAN, sidecar

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import load_engine
from aitable_ros.inference.tensorrt import engine as tensorrt_engine
from aitable_ros.inference.tensorrt import gate as tensorrt_gate
from aitable_ros.inference.tensorrt.runtime import MODULES, explain_refusal
from aitable_ros.inference.tensorrt.sidecar import Gpu, sidecar_path

SPEC = dataclasses.replace(tensorrt_fixtures.SPEC, chain=('tensorrt',))
OWN = dataclasses.replace(SPEC, inputs=(), outputs=())
SHA256 = hashlib.sha256(PLAN).hexdigest()


@pytest.fixture(autouse=True)
def _asked_anew():
    """Let each test find out about the machine for itself."""
    cached = (tensorrt_gate.local_gpu, tensorrt_gate._modules)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture
def machine(monkeypatch):
    """A Jetson with TensorRT 10.3 and PyCUDA, whose engine class tells what it was given."""
    found = types.SimpleNamespace(trt=types.SimpleNamespace(__version__='10.3.0'), opened=[])
    found.installed = {'tensorrt', 'pycuda'}
    found.refusal = ''
    find_spec = importlib.util.find_spec

    def find(name, package=None):
        return object() if name in found.installed else find_spec(name, package)

    def open_engine(spec, path, **settings):
        if found.refusal:
            raise InferenceError(found.refusal)
        found.opened.append(settings)
        return types.SimpleNamespace(name=spec.name, path=path)

    monkeypatch.setattr(tensorrt_gate, 'local_gpu', lambda: ORIN)
    monkeypatch.setattr(tensorrt_gate, '_modules', lambda: found.trt)
    monkeypatch.setattr(importlib.util, 'find_spec', find)
    monkeypatch.setattr(tensorrt_engine, 'TensorRtEngine', open_engine)
    return found


def _record(path, **changes):
    sidecar_path(path).write_text(sidecar(**changes).to_json())


def _skipped(path, spec=SPEC):
    with pytest.raises(InferenceError) as caught:
        load_engine(spec, 'tensorrt', engines_dir=path.parent)
    assert '\n' not in str(caught.value)
    return str(caught.value)


class TestSkipping:
    @pytest.mark.parametrize('has_record', [True, False])
    def test_a_good_engine_is_loaded(self, machine, recorded, has_record):
        if not has_record:  # then it is left to TensorRT
            sidecar_path(recorded).unlink()
        chosen = load_engine(SPEC, engines_dir=recorded.parent)
        assert (chosen.backend, chosen.path) == ('tensorrt', recorded)
        load_engine(dataclasses.replace(SPEC, mapped_memory=True), engines_dir=recorded.parent)
        load_engine(dataclasses.replace(SPEC, gpu_crops=True), engines_dir=recorded.parent)
        plain = {'allow_host_code': False}
        assert machine.opened == [
            *(plain, plain | {'mapped_memory': True}, plain | {'gpu_crops': True})
        ]

    def test_no_driver(self, recorded, monkeypatch):
        monkeypatch.setattr(tensorrt_gate, 'DRIVER_LIBRARY', 'libno_such_driver.so.1')
        assert 'there is no CUDA device: the NVIDIA driver (libno_such' in _skipped(recorded)

    def test_a_driver_that_is_there_and_cannot_be_loaded(self, recorded, monkeypatch, tmp_path):
        # on a Jetson, a container that was started without the GPU has an empty file for it
        empty = tmp_path / 'libcuda.so.1'
        empty.touch()
        monkeypatch.setattr(tensorrt_gate, 'DRIVER_LIBRARY', str(empty))
        reason = _skipped(recorded)
        assert f'the NVIDIA driver cannot be loaded: {empty}: file too short' in reason
        assert 'not installed' not in reason

    @pytest.mark.parametrize(
        ('name', 'modules', 'told'),
        [
            ('tensorrt', MODULES, 'module tensorrt or tensorrt_lean'),
            ('pycuda', ('pycuda',), 'module pycuda is not installed (pip install pycuda)'),
        ],
    )
    def test_a_module_that_is_missing(self, machine, recorded, name, modules, told):
        machine.installed.remove(name)
        if any(map(importlib.util.find_spec, modules)):
            pytest.skip(f'{name} is installed')
        assert told in _skipped(recorded)

    def test_modules_that_cannot_be_imported(self, machine, recorded):
        machine.trt = 'tensorrt cannot be imported: libnvinfer.so.10: no such file'
        told = 'toy cannot run on tensorrt: tensorrt cannot be imported: libnv'
        assert told in _skipped(recorded)

    def test_no_engine(self, machine, recorded):
        recorded.unlink()
        command = f'build_engines toy --engines-dir {recorded.parent}'
        told = f'{recorded} is missing (python3 -m aitable_ros.tools.{command})'
        assert told in _skipped(recorded)

    @pytest.mark.parametrize(
        ('changes', 'content', 'told'),
        [
            ({'tensorrt': '10.7.0'}, PLAN, 'another TensorRT version: 10.7.0; here is 10.3.0'),
            (
                {'gpu': Gpu('NVIDIA H200', '9.0', 132)},
                PLAN,
                'another GPU: NVIDIA H200 (compute capability 9.0, 132 multiprocessors); this is'
                ' Orin (compute capability 8.7, 8 multiprocessors)',
            ),
            ({'gpu': Gpu('Orin', '8.7', 16)}, PLAN, 'built for another GPU'),
            ({'gpu': Gpu('Orin', '8.8', 8)}, PLAN, 'built for another GPU'),
            ({}, PLAN[:-1], f'truncated: {len(PLAN) - 1} of {len(PLAN)} bytes'),
            ({}, b'', f'truncated: 0 of {len(PLAN)} bytes'),
            ({}, b'x' + PLAN[1:], 'damaged: its sha256 is not the one recorded'),
            ({}, PLAN + b'x', 'damaged'),
        ],
    )
    def test_one_for_another_machine_or_damaged(self, machine, recorded, changes, content, told):
        _record(recorded, **changes)
        recorded.write_bytes(content)
        reason = _skipped(recorded)
        assert told in reason
        assert 'tools.build_engines toy' in reason

    @pytest.mark.parametrize(
        ('source', 'model'),
        [('.onnx', b'trained anew'), ('.onnx', b'as it was'), ('.onnx', None), ('.tflite', b'')],
    )
    def test_an_onnx_file_that_was_replaced_since(self, machine, recorded, source, model):
        # as a checkpoint of one's own by a better one: the old network must not run on unnoticed
        sha256 = hashlib.sha256(b'as it was').hexdigest()
        _record(recorded, onnx_source=str(recorded.with_suffix(source)), onnx_sha256=sha256)
        if model is not None:
            recorded.with_suffix('.onnx').write_bytes(model)
        if model == b'trained anew':
            reason = _skipped(recorded)
            assert 'is out of date: it was built from another toy.onnx' in reason
            assert 'tools.build_engines toy' in reason
        else:
            load_engine(SPEC, engines_dir=recorded.parent)

    @pytest.mark.parametrize(
        ('said', 'helps'),
        [
            ('toy on tensorrt: not this network: output mean is missing', True),
            ('the file is truncated', True),
            ('it was built for another GPU; build it on this one', True),
            ('it was built for another TensorRT version (8.6.1); build it with this one', True),
            ('not enough GPU memory: for batch 4 it needs 900 MiB', False),
            ('recording failed', False),
        ],
    )
    def test_what_the_engine_class_says_with_the_command_where_it_helps(
        self, machine, recorded, said, helps
    ):
        machine.refusal = said
        reason = _skipped(recorded)
        assert said in reason
        assert ('tools.build_engines toy' in reason) == helps


class TestHostCode:
    @pytest.fixture(params=['recorded', 'unrecorded'])
    def compatible(self, request, machine, recorded):
        """An engine that carries code, as the record says, or without one TensorRT."""
        if request.param == 'recorded':
            _record(recorded, version_compatible=True, tensorrt='8.6.1')
        else:
            sidecar_path(recorded).unlink()
            said = 'Cannot deserialize engine since IRuntime::getEngineHostCodeAllowed() is false.'
            machine.refusal = explain_refusal(PLAN, said)
        return recorded

    @pytest.mark.parametrize('named', ['', '0' * 64])
    def test_is_refused_unless_the_file_is_named(self, machine, compatible, named):
        reason = _skipped(compatible, dataclasses.replace(SPEC, host_code_sha256=named))
        assert f"host_code_sha256: '{SHA256}' under toy in models.yaml" in reason
        assert machine.opened == []

    def test_of_a_file_that_the_user_brings_the_advice_is_one_that_can_be_followed(
        self, machine, compatible
    ):
        reason = _skipped(compatible, OWN)
        assert 'models.yaml' not in reason
        assert f'build_engines toy --onnx {compatible.with_suffix(".onnx")} --engines-' in reason
        assert machine.opened == []

    @pytest.mark.parametrize('named', [SHA256, '0' * 64])
    @pytest.mark.parametrize('changes', [{'version_compatible': True, 'tensorrt': '8.6.1'}, None])
    def test_is_allowed_to_exactly_the_file_that_is_named(self, machine, recorded, changes, named):
        if changes:
            _record(recorded, **changes)
        else:
            sidecar_path(recorded).unlink()
        spec = dataclasses.replace(SPEC, host_code_sha256=named)
        if changes and named != SHA256:
            assert 'carries code' in _skipped(recorded, spec)
        else:
            load_engine(spec, engines_dir=recorded.parent)
            assert machine.opened == [{'allow_host_code': named == SHA256}]


def test_without_a_driver_it_is_quick_and_imports_nothing():
    script = """
import sys, time
from pathlib import Path
from aitable_ros.inference import selection
from aitable_ros.inference.tensorrt import gate as tensorrt_gate
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


class Driver:
    """The functions of libcuda that are asked where there is no device."""

    def __init__(self, init):
        self.init = init

    def cuInit(self, flags):  # noqa: N802
        return self.init

    def cuGetErrorString(self, code, text):  # noqa: N802
        text._obj.value = b'no CUDA-capable device is detected'
        return 0

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = 0
        return 0


@pytest.mark.parametrize(
    ('init', 'told'),
    [
        (
            100,
            'there is no CUDA device that works: cuInit: no CUDA-capable device is detected'
            ' (error 100)',
        ),
        (0, 'there is no CUDA device'),
    ],
)
def test_no_device_is_told_in_the_driver_s_words(monkeypatch, init, told):
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: Driver(init))
    assert tensorrt_gate.local_gpu() == told
