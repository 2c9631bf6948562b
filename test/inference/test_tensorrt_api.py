# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The names of TensorRT's API, and its log, with its real bindings where some are installed."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import inspect
import subprocess
import sys

import pytest

from aitable_ros.inference import tensorrt_plan, tensorrt_prepared_batch, tensorrt_runtime

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
    for module in (tensorrt_plan, tensorrt_prepared_batch, tensorrt_runtime):
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


@pytest.fixture(params=tensorrt_runtime.MODULES)
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
    log = tensorrt_runtime.TensorRtLog(real)
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
    with contextlib.suppress(OSError):
        ctypes.CDLL('libcuda.so.1')
        pytest.skip('there is a driver here')
    code = (
        'import sys\n'
        'from aitable_ros.inference import tensorrt_runtime as runtime\n'
        'trt = runtime.load_tensorrt()\n'
        'try:\n'
        '    runtime.create_runtime(trt, runtime.log_of(trt))\n'
        'except runtime.InferenceError as error:\n'
        '    print(error)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'the NVIDIA driver may be too old' in done.stdout
