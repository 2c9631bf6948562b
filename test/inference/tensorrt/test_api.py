# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The names of TensorRT's API, and its log, with its real bindings.

With those that are installed, TensorRT-RTX's among them, and with the lean runtime's of 10.x and
11.x, whose wheels import without a GPU. These are installed into the cache folder on first use
(two times 45 MB); where there is no network that is skipped, except in CI.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aitable_ros.inference.tensorrt import plan, prepared_batch, runtime
from aitable_ros.model_zoo.files import locked
from aitable_ros.paths import cache_dir

ALTERNATIVES = [
    {'create_execution_context_without_device_memory', 'create_execution_context'},
    {'device_memory_size', 'device_memory_size_v2'},
]
"""Names of which a version needs to have one; the code asks with hasattr."""

OPTIONAL = {
    'ExecutionContextAllocationStrategy',  # since 10.0
    'has_implicit_batch_dimension',  # until 10
    'engine_host_code_allowed',  # since 8.6
}

OWNERS = {'trt': '', 'runtime': 'Runtime', 'engine': 'ICudaEngine', 'context': 'IExecutionContext'}


def names_used():
    """Return (owner, attribute) of all that the code takes from TensorRT's objects."""
    used = set()
    for module in (plan, prepared_batch, runtime):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Attribute):
                owner = getattr(node.value, 'id', getattr(node.value, 'attr', '')).strip('_')
                if owner in OWNERS and not node.attr.startswith('_'):
                    used.add((OWNERS[owner], node.attr))
            elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'getattr':
                owner = getattr(node.args[0], 'id', getattr(node.args[0], 'attr', '')).strip('_')
                if owner in OWNERS:
                    used.add((OWNERS[owner], node.args[1].value))
    return used


@pytest.fixture(params=(*runtime.MODULES, *runtime.RTX_MODULES))
def real(request):
    """TensorRT's own bindings, under each name that they may have."""
    module = pytest.importorskip(request.param)
    if not hasattr(module, 'Runtime'):  # NVIDIA's package of that name without its libraries
        pytest.skip(f'{request.param} is not TensorRT')
    return module


def test_every_name_exists_in_the_real_bindings(real):
    alternatives = set().union(*ALTERNATIVES)
    names = names_used()
    assert len(names) >= 25  # or else the code has changed so that none are found
    for owner, name in names:
        holder = getattr(real, owner) if owner else real
        if name not in alternatives | OPTIONAL:
            assert hasattr(holder, name), f'{owner}.{name}'
    for either in ALTERNATIVES:
        assert any(hasattr(real.ICudaEngine, name) for name in either)
    assert {'INTERNAL_ERROR', 'ERROR', 'WARNING'} <= real.ILogger.Severity.__members__.keys()
    assert 'INPUT' in real.TensorIOMode.__members__
    assert {'UINT8', 'FLOAT', 'HALF', 'INT32'} <= real.DataType.__members__.keys()
    if hasattr(real, 'ExecutionContextAllocationStrategy'):
        assert 'USER_MANAGED' in real.ExecutionContextAllocationStrategy.__members__


def test_the_real_log_keeps_what_tensorrt_says(real):
    log = runtime.TensorRtLog(real)
    mark = log.mark()
    log.logger.log(real.ILogger.Severity.WARNING, 'a warning')
    log.logger.log(real.ILogger.Severity.INFO, 'chatter')
    assert log.quote(mark) == 'TensorRT: a warning'
    log.logger.log(real.ILogger.Severity.ERROR, 'an\n error')
    assert log.quote(mark) == 'TensorRT: an error'
    assert isinstance(log.logger, real.ILogger)


def test_without_a_usable_driver_the_real_tensorrt_is_refused_not_crashed_into(real):
    if not hasattr(real, 'ExecutionContextAllocationStrategy'):
        pytest.skip('8.x crashes by itself before it answers')
    if real.__name__ in runtime.RTX_MODULES:
        pytest.skip('TensorRT-RTX starts without a driver')
    with contextlib.suppress(OSError):
        ctypes.CDLL('libcuda.so.1')
        pytest.skip('there is a driver here')
    code = (
        'import sys\n'
        'from aitable_ros.inference.tensorrt import runtime\n'
        'trt = runtime.load_tensorrt()\n'
        'try:\n'
        '    runtime.create_runtime(trt, runtime.log_of(trt))\n'
        'except runtime.InferenceError as error:\n'
        '    print(error)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'the NVIDIA driver may be too old' in done.stdout


@pytest.fixture(scope='module', params=['10.16.1.11', '11.4.0.106'])
def lean_wheels(request):
    """Return a folder with the lean runtime's bindings and libraries of one version."""
    python = f'cp{sys.version_info[0]}{sys.version_info[1]}'
    folder = cache_dir() / 'tensorrt-lean' / f'{request.param}-{python}'
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / '.complete'
    with locked(folder, print):
        if not done.exists():
            packages = [
                f'tensorrt-lean-cu13-{part}=={request.param}' for part in ('bindings', 'libs')
            ]
            command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps']
            command += ['--only-binary=:all:', '--upgrade', '--target', str(folder), *packages]
            pip = subprocess.run(command, capture_output=True, text=True, check=False)
            if pip.returncode != 0:
                reason = f'TensorRT {request.param} cannot be had: {pip.stderr.strip()[-300:]}'
                if os.environ.get('CI'):
                    pytest.fail(reason)
                pytest.skip(reason)
            done.touch()
    return folder


@pytest.mark.timeout(300)
def test_all_of_that_holds_for_the_lean_runtimes(lean_wheels):
    search = f'{lean_wheels}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    command = [sys.executable, '-m', 'pytest', '-q', '-rs', '-k', 'real', __file__]
    run = subprocess.run(
        command,
        env={**os.environ, 'PYTHONPATH': search},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    # the names, and the log; the third needs a machine without a driver
    assert ' passed' in run.stdout
    skipped = [line for line in run.stdout.splitlines() if "'tensorrt_lean_bindings'" in line]
    assert 'could not import' not in '\n'.join(skipped)
