# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from preflight_fixtures import only

from aitable_ros.inference import tensorrt_runtime
from aitable_ros.tools import preflight_runtimes
from aitable_ros.tools.preflight_check import Status
from aitable_ros.tools.preflight_runtimes import (
    check_cuda,
    check_litert,
    check_onnxruntime,
    check_pycuda,
    check_tensorrt,
    probe_cuda,
)

LIBCUDA = r"""
#include <stddef.h>
#include <string.h>
int cuInit(unsigned f) { return %(init)d; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_SOME"; return 0; }
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *name, int n, int d) { strncpy(name, "Orin", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 7 : -1; return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = c; return %(retain)d; }
int cuCtxPushCurrent_v2(void *c) { return 0; }
int cuMemGetInfo_v2(size_t *f, size_t *t) { *f = %(free)d; *t = 8000000000UL; return 0; }
"""


class TestGpu:
    def test_tensorrt_is_looked_for_where_the_engine_does(self) -> None:
        assert preflight_runtimes._TENSORRT_MODULES == tensorrt_runtime.MODULES

    @pytest.fixture
    def driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Compiles a library that answers as NVIDIA's driver would, and puts it in its place."""
        compiler = shutil.which('cc') or shutil.which('gcc')
        if compiler is None:
            pytest.skip('needs a C compiler')

        def make(init: int = 0, retain: int = 0, free: int = 2_000_000_000) -> None:
            source = tmp_path / 'libcuda.c'
            source.write_text(LIBCUDA % {'init': init, 'retain': retain, 'free': free})
            library = tmp_path / 'libcuda.so.1'
            command = [compiler, '-shared', '-fPIC', '-w', '-o', str(library), str(source)]
            subprocess.run(command, check=True)
            monkeypatch.setenv('LD_LIBRARY_PATH', str(tmp_path))

        return make

    def test_a_device(self, driver: Callable[..., None]) -> None:
        driver()
        check = only(check_cuda())
        assert check.status is Status.OK
        assert check.summary == (
            'device 0: Orin, compute capability 8.7, 2.0 GB of 8.0 GB free; driver for CUDA 12.6'
        )

    def test_little_memory_is_a_warning(self, driver: Callable[..., None]) -> None:
        driver(free=100_000_000)
        assert only(check_cuda()).status is Status.WARNING

    def test_a_driver_without_a_device(self, driver: Callable[..., None]) -> None:
        driver(init=100)
        check = only(check_cuda())
        assert check.status is Status.WARNING
        assert check.summary == 'the NVIDIA driver sees no device'

    @pytest.mark.parametrize(
        ('codes', 'told'),
        [({'init': 999}, 'cuInit'), ({'retain': 2}, 'cuDevicePrimaryCtxRetain')],
    )
    def test_a_driver_that_fails(
        self, codes: dict[str, int], told: str, driver: Callable[..., None]
    ) -> None:
        driver(**codes)
        check = only(check_cuda())
        assert check.status is Status.ERROR
        assert f'{told}: CUDA_ERROR_SOME' in check.summary

    def test_no_driver(self) -> None:
        (message,) = probe_cuda('libcuda_that_is_not_there.so.1')
        assert message['absent'].startswith('no NVIDIA driver')

    def test_a_driver_that_cannot_be_loaded(self, tmp_path: Path) -> None:
        """As in a container that was started without the GPU: an empty file in its place."""
        (tmp_path / 'libcuda.so.1').touch()
        (message,) = probe_cuda(str(tmp_path / 'libcuda.so.1'))
        assert message['absent'].startswith('the NVIDIA driver cannot be loaded (')

    def test_a_tensorrt_whose_libraries_are_missing(self, modules: Callable[..., None]) -> None:
        for name in ('tensorrt', 'tensorrt_lean', 'tensorrt_lean_bindings'):
            modules(name, 'raise ImportError("libnvinfer.so.8: cannot open shared object file")')
        check = only(check_tensorrt())
        assert check.status is Status.ERROR
        assert 'libnvinfer.so.8' in check.summary

    @pytest.mark.parametrize(
        ('reason', 'status'),
        [
            ('libcuda.so.1: cannot open shared object file', Status.WARNING),
            ('libcudart.so.12: cannot open shared object file', Status.ERROR),
        ],
    )
    def test_a_pycuda_that_cannot_be_imported(
        self, reason: str, status: Status, modules: Callable[..., None]
    ) -> None:
        modules('pycuda.driver', f'raise ImportError({reason!r})')
        check = only(check_pycuda())
        assert check.status is status
        assert reason in check.summary

    @pytest.mark.parametrize(
        ('builder', 'kind'),
        [
            ('class Builder: pass', 'builds and runs engines'),
            ('', 'lean runtime: runs engines only'),
        ],
    )
    def test_a_tensorrt_that_works(
        self, builder: str, kind: str, modules: Callable[..., None]
    ) -> None:
        lines = [
            "__version__ = '10.3.0'",
            'class Runtime: pass',
            'class IExecutionContext: execute_async_v3 = None',
            builder,
        ]
        modules('tensorrt', '\n'.join(lines))
        check = only(check_tensorrt())
        assert (check.status, check.summary) == (Status.OK, f'10.3.0 (tensorrt), {kind}')

    def test_a_pycuda_that_works(self, modules: Callable[..., None]) -> None:
        modules('pycuda.driver', '')
        assert only(check_pycuda()).status is Status.OK


class TestRuntimes:
    def test_onnxruntime_tells_its_providers(self) -> None:
        pytest.importorskip('onnxruntime')
        check = only(check_onnxruntime())
        assert check.status is Status.OK
        assert 'CPU' in check.summary.partition('providers: ')[2]

    def test_litert(self) -> None:
        pytest.importorskip('ai_edge_litert')
        assert only(check_litert()).status is Status.OK

    def test_one_that_is_broken(self, modules: Callable[..., None]) -> None:
        modules('ai_edge_litert.interpreter', 'raise ImportError("libstdc++.so.6: too old")')
        check = only(check_litert())
        assert check.status is Status.ERROR
        assert check.summary == 'cannot be imported: ImportError: libstdc++.so.6: too old'
        assert check.advice == 'pip install --force-reinstall ai-edge-litert'

    def test_one_that_ends_the_process_is_none_that_works(
        self, modules: Callable[..., None]
    ) -> None:
        modules('onnxruntime', 'import os; os._exit(0)')
        check = only(check_onnxruntime())
        assert check.status is Status.ERROR
        assert check.summary == 'cannot be imported: it ends the process'

    def test_one_that_crashes_when_imported(self, modules: Callable[..., None]) -> None:
        modules('onnxruntime', 'import os; os.abort()')
        check = only(check_onnxruntime())
        assert check.status is Status.ERROR
        assert check.summary.startswith('cannot be imported: was ended by SIGABRT')
