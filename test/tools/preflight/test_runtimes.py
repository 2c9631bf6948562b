# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aitable_ros.tools.preflight.check import Status
from aitable_ros.tools.preflight.runtimes import check_cuda, check_runtime, jetson

MISSING = 'raise ImportError("lib%s: cannot open")'

LIBCUDA = r"""
#include <string.h>
int cuInit(unsigned flags) { return %d; }
int cuGetErrorString(int code, const char **text) { *text = "some error"; return 0; }
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *name, int n, int d) { strncpy(name, "Orin", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : 7; return 0; }
"""


def _write_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    compiler = shutil.which('cc') or shutil.which('gcc')
    if compiler is None:
        pytest.skip('needs a C compiler')
    (folder / 'libcuda.c').write_text(source)
    command = [compiler, '-shared', '-fPIC', '-w', '-o', 'libcuda.so.1', 'libcuda.c']
    subprocess.run(command, check=True, cwd=folder)
    monkeypatch.setenv('LD_LIBRARY_PATH', str(folder))


@pytest.mark.parametrize(
    ('init', 'status', 'told'),
    [
        (0, Status.OK, 'device 0: Orin, compute capability 8.7; driver for CUDA 12.6'),
        (100, Status.WARNING, 'cuInit: some error (error 100)'),
        (999, Status.ERROR, 'cuInit: some error (error 999)'),
    ],
)
def test_a_driver(
    init: int, status: Status, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that answers as NVIDIA's would, in its place."""
    _write_driver(tmp_path, monkeypatch, LIBCUDA % init)
    (check,) = check_cuda()
    assert check.status is status
    assert told in check.summary


def test_a_driver_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that was started without the GPU: an empty file in its place."""
    (tmp_path / 'libcuda.so.1').touch()
    monkeypatch.setenv('LD_LIBRARY_PATH', str(tmp_path))
    (check,) = check_cuda()
    assert check.status is Status.WARNING
    assert '--gpus all' in check.advice


def test_a_jetson_is_named(tmp_path: Path) -> None:
    assert jetson(tmp_path) == ''
    (tmp_path / 'etc').mkdir()
    (tmp_path / 'etc' / 'nv_tegra_release').write_text(
        '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n'
    )
    assert jetson(tmp_path) == 'Jetson Linux 36.4.3'


@pytest.mark.parametrize(
    ('builder', 'kind'),
    [
        ('class Builder: pass', 'builds and runs engines'),
        ('', 'lean runtime: runs engines only'),
    ],
)
def test_a_tensorrt_that_works(builder: str, kind: str, modules: Callable[..., None]) -> None:
    lines = [
        "__version__ = '10.3.0'",
        'class Runtime: pass',
        'class IExecutionContext: execute_async_v3 = None',
        builder,
    ]
    modules('tensorrt', '\n'.join(lines))
    (check,) = check_runtime('tensorrt')
    assert (check.status, check.summary) == (Status.OK, f'10.3.0 (tensorrt), {kind}')


def test_a_tensorrt_without_kernels_for_orin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: Callable[..., None]
) -> None:
    _write_driver(tmp_path, monkeypatch, LIBCUDA % 0)
    lines = [
        "__version__ = '10.13.3.9'",
        'class Runtime: pass',
        'class IExecutionContext: execute_async_v3 = None',
    ]
    modules('tensorrt', '\n'.join(lines))
    (check,) = check_runtime('tensorrt')
    assert check.status is Status.ERROR
    assert 'has no kernels for Orin' in check.advice
    assert 'docs/jetson.md' in check.advice


@pytest.mark.parametrize(
    ('name', 'module', 'code', 'status', 'told'),
    [
        ('tensorrt', 'tensorrt', MISSING % 'nvinfer.so.8', Status.ERROR, 'libnvinfer.so.8'),
        ('pycuda', 'pycuda.driver', MISSING % 'cudart.so.12', Status.ERROR, 'libcudart.so.12'),
        ('pycuda', 'pycuda.driver', MISSING % 'cuda.so.1', Status.WARNING, 'libcuda.so.1'),
        ('pycuda', 'pycuda.driver', '', Status.OK, 'pycuda of unknown version'),
        ('litert', 'ai_edge_litert.interpreter', MISSING % 'x', Status.ERROR, 'ImportError: libx'),
        ('onnxruntime', 'onnxruntime', 'import os; os._exit(0)', Status.ERROR, 'ends the process'),
        ('onnxruntime', 'onnxruntime', 'import os; os.abort()', Status.ERROR, 'by SIGABRT'),
    ],
)
def test_one_that_is_there_but_broken(
    name: str, module: str, code: str, status: Status, told: str, modules: Callable[..., None]
) -> None:
    modules(module, code)
    (check,) = check_runtime(name)
    assert check.status is status
    assert told in check.summary
    assert bool(check.advice) == (status is not Status.OK)


@pytest.mark.parametrize(
    ('name', 'module', 'told'),
    [
        ('onnxruntime', 'onnxruntime', 'onnxruntime 1'),
        ('litert', 'ai_edge_litert', 'ai_edge_litert 2'),
    ],
)
def test_one_that_works(name: str, module: str, told: str) -> None:
    pytest.importorskip(module)
    (check,) = check_runtime(name)
    assert check.status is Status.OK
    assert told in check.summary
