# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Why TensorRT-RTX is skipped."""

from __future__ import annotations

import dataclasses
import hashlib
import types

import pytest
import tensorrt_fixtures
from tensorrt_fixtures import sidecar

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import BACKENDS, load_engine
from aitable_ros.inference.tensorrt import gate, rtx_engine, rtx_gate
from aitable_ros.inference.tensorrt.runtime import RTX_MODULES
from aitable_ros.inference.tensorrt.sidecar import Gpu, sidecar_path

SPEC = dataclasses.replace(tensorrt_fixtures.SPEC, chain=('tensorrt_rtx',))
CARD = Gpu('NVIDIA GeForce RTX 4090', '8.9', 128)
PLAN = b'vtrt and kernels'
RECORD = {
    'engine_sha256': hashlib.sha256(PLAN).hexdigest(),
    'engine_size': len(PLAN),
    'tensorrt': '1.7.1.116',
    'gpu': None,
    'targets': ('8.6', '8.9'),
}


@pytest.fixture
def machine(monkeypatch):
    """A desktop with TensorRT-RTX and PyCUDA, whose engine class tells what it was given."""
    found = types.SimpleNamespace(gpu=CARD, opened=[], refusal='')
    found.trt = types.SimpleNamespace(__version__='1.7.1.116')

    def open_engine(spec, path, **settings):
        if found.refusal:
            raise InferenceError(found.refusal)
        found.opened.append(settings)
        return types.SimpleNamespace(name=spec.name, path=path)

    monkeypatch.setattr(gate, 'local_gpu', lambda: found.gpu)
    monkeypatch.setattr(rtx_gate, '_modules', lambda: found.trt)
    monkeypatch.setattr('importlib.util.find_spec', lambda name, package=None: object())
    monkeypatch.setattr(rtx_engine, 'TensorRtRtxEngine', open_engine)
    return found


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / 'toy.rtx'
    path.write_bytes(PLAN)
    _record(path)
    return path


def _record(path, **changes):
    sidecar_path(path).write_text(sidecar(**{**RECORD, **changes}).to_json())


def _skipped(path, spec=SPEC):
    with pytest.raises(InferenceError) as caught:
        load_engine(spec, 'tensorrt_rtx', engines_dir=path.parent)
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('has_record', [True, False])
def test_a_good_engine_is_loaded(machine, engine, has_record):
    if not has_record:
        sidecar_path(engine).unlink()
    chosen = load_engine(SPEC, engines_dir=engine.parent)
    assert (chosen.backend, chosen.path) == ('tensorrt_rtx', engine)
    load_engine(dataclasses.replace(SPEC, mapped_memory=True), engines_dir=engine.parent)
    assert machine.opened == [{}, {'mapped_memory': True}]


@pytest.mark.parametrize(
    'gpu', [Gpu('NVIDIA H200', '9.0', 132), Gpu('Orin', '8.7', 8)], ids=lambda gpu: gpu.name
)
def test_a_gpu_that_it_has_no_kernels_for_is_the_reason_at_once(machine, engine, gpu):
    machine.gpu = gpu
    assert f'TensorRT-RTX has no kernels for {gpu}' in _skipped(engine)


def test_no_gpu_or_no_module_is_the_reason(machine, engine):
    machine.gpu = 'there is no CUDA device'
    assert 'there is no CUDA device' in _skipped(engine)
    machine.gpu, machine.trt = CARD, 'tensorrt_rtx cannot be imported: no such file'
    assert 'cannot be imported' in _skipped(engine)


@pytest.mark.parametrize(
    ('changes', 'content', 'told'),
    [
        ({'targets': ('8.6',)}, PLAN, 'built for another GPU: compute capability 8.6; this is NV'),
        ({'tensorrt': '1.6.1.120'}, PLAN, 'another TensorRT-RTX version: 1.6.1.120; here is 1.7'),
        ({}, PLAN[:-1], f'truncated: {len(PLAN) - 1} of {len(PLAN)} bytes'),
        ({}, b'x' + PLAN[1:], 'damaged: its sha256 is not the one recorded'),
    ],
)
def test_one_for_another_machine_or_damaged(machine, engine, changes, content, told):
    _record(engine, **changes)
    engine.write_bytes(content)
    reason = _skipped(engine)
    assert told in reason
    assert f'build_engines toy --engines-dir {engine.parent} --rtx' in reason


def test_none_is_there_or_the_runtime_refuses_it_with_the_command(machine, engine):
    command = f'build_engines toy --engines-dir {engine.parent} --rtx'
    machine.refusal = 'the file is damaged'
    assert command in _skipped(engine)
    machine.refusal = 'not enough GPU memory'
    assert command not in _skipped(engine)
    engine.unlink()
    assert f'{engine} is missing' in _skipped(engine)
    assert command in _skipped(engine)


def test_the_table_of_backends_names_its_modules():
    assert BACKENDS['tensorrt_rtx'].runtimes == RTX_MODULES
