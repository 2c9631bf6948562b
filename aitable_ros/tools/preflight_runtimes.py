# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what runs the networks works: the NVIDIA driver and the inference runtimes."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from aitable_ros.tools.installed import is_there, version_of
from aitable_ros.tools.isolation import run_isolated
from aitable_ros.tools.preflight_check import PROBE_TIMEOUT_S, Check, Status, gigabytes

MIN_FREE_GPU_BYTES = 512 * 2**20


def check_cuda() -> list[Check]:
    """Ask the NVIDIA driver for its devices and their memory."""
    outcome = run_isolated(probe_cuda, timeout_s=PROBE_TIMEOUT_S)
    found: dict[str, Any] = {}
    for message in outcome.messages:
        found.update(message)
    if found.get('absent'):
        return [
            Check(
                'cuda',
                Status.WARNING,
                found['absent'],
                'without an NVIDIA GPU and its driver the networks run on the CPU; in Docker:'
                ' --gpus all (on a Jetson: --runtime nvidia)',
            )
        ]
    devices = found.get('devices', [])
    checks = []
    for device in devices:
        free, total = device['free'], device['total']
        low = free < MIN_FREE_GPU_BYTES
        checks.append(
            Check(
                'cuda',
                Status.WARNING if low else Status.OK,
                f'device {device["ordinal"]}: {device["name"]}, compute capability'
                f' {device["capability"]}, {gigabytes(free)} of {gigabytes(total)} free; driver'
                f' for CUDA {found["driver"]}',
                'little memory is free: end other programs' if low else '',
            )
        )
    failure = found.get('failure') or outcome.failure
    if failure or not devices:
        checks.append(
            Check(
                'cuda',
                Status.ERROR,
                f'the NVIDIA driver does not work: {failure or "it gave no device"}',
                'see nvidia-smi (on a Jetson: tegrastats) and the kernel log; after an update of'
                ' the driver, restart the machine',
            )
        )
    return checks


_DRIVER_LIBRARY = 'libcuda.so.1'
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def probe_cuda(library: str = _DRIVER_LIBRARY) -> Iterator[dict[str, Any]]:
    """
    Call the driver; yield its version, its devices, and how that failed.

    :param library: the driver's library.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError as error:
        is_missing = str(error).startswith(f'{library}: cannot open')
        what = 'no NVIDIA driver' if is_missing else 'the NVIDIA driver cannot be loaded'
        yield {'absent': f'{what} ({error})'}
        return

    def call(function: str, *arguments: Any) -> None:
        code = getattr(cuda, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            cuda.cuGetErrorName(code, ctypes.byref(text))
            raise RuntimeError(f'{function}: {(text.value or str(code).encode()).decode()}')

    def number(function: str, *arguments: Any) -> int:
        value = ctypes.c_int()
        call(function, ctypes.byref(value), *arguments)
        return value.value

    if cuda.cuInit(0) == _NO_DEVICE:
        yield {'absent': 'the NVIDIA driver sees no device'}
        return
    try:
        call('cuInit', 0)
        version = number('cuDriverGetVersion')
        yield {'driver': f'{version // 1000}.{version % 1000 // 10}'}
        devices = []
        for ordinal in range(number('cuDeviceGetCount')):
            device = number('cuDeviceGet', ordinal)
            name = ctypes.create_string_buffer(256)
            call('cuDeviceGetName', name, len(name), device)
            capability = [
                number('cuDeviceGetAttribute', attribute, device) for attribute in (_MAJOR, _MINOR)
            ]
            # only within a context does the driver tell how much is free
            context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
            call('cuDevicePrimaryCtxRetain', ctypes.byref(context), device)
            call('cuCtxPushCurrent_v2', context)
            call('cuMemGetInfo_v2', ctypes.byref(free), ctypes.byref(total))
            devices.append(
                {
                    'ordinal': ordinal,
                    'name': name.value.decode(errors='replace'),
                    'capability': '.'.join(map(str, capability)),
                    'free': free.value,
                    'total': total.value,
                }
            )
            yield {'devices': devices}
    except (RuntimeError, AttributeError) as error:
        yield {'failure': str(error)}


# tensorrt_runtime.MODULES, which cannot be imported where numpy is missing
_TENSORRT_MODULES = ('tensorrt', 'tensorrt_lean', 'tensorrt_lean_bindings')


def check_tensorrt() -> list[Check]:
    """Import TensorRT; tell its version, and whether it can build engines."""
    if not any(is_there(module) for module in _TENSORRT_MODULES):
        return _not_installed(
            'tensorrt',
            'the primary backend where there is an NVIDIA GPU: on a Jetson sudo apt install'
            ' tensorrt python3-libnvinfer, elsewhere pip install tensorrt',
        )
    advice = 'its Python module must match the installed libraries and this Python'
    return [_examine('tensorrt', advice, probe_tensorrt)]


def probe_tensorrt() -> Iterator[str]:
    """Import TensorRT and yield what it is."""
    from aitable_ros.inference.tensorrt_runtime import load_tensorrt

    trt = load_tensorrt()
    builds = hasattr(trt, 'Builder')
    kind = 'builds and runs engines' if builds else 'lean runtime: runs engines only'
    yield f'{trt.__version__} ({trt.__name__}), {kind}'


def check_pycuda() -> list[Check]:
    """Import PyCUDA, through which TensorRT engines get their memory."""
    if not is_there('pycuda'):
        return _not_installed(
            'pycuda',
            'TensorRT engines need it: pip install pycuda (compiles; nvcc must be in PATH)',
        )
    advice = (
        'it has to be compiled for the installed CUDA: pip install --force-reinstall'
        ' --no-binary pycuda pycuda'
    )
    summary = version_of('pycuda') or 'installed'
    check = _examine('pycuda', advice, probe_import, 'pycuda.driver', summary)
    if _DRIVER_LIBRARY in check.summary:  # PyCUDA is as it should be, the machine has no GPU
        advice = 'it works where the NVIDIA driver is installed'
        check = replace(check, status=Status.WARNING, advice=advice)
    return [check]


def check_onnxruntime() -> list[Check]:
    """Import ONNX Runtime; tell its version and execution providers."""
    if not is_there('onnxruntime'):
        return _not_installed('onnxruntime', 'a fallback: pip install onnxruntime')
    advice = 'pip install --force-reinstall onnxruntime'
    return [_examine('onnxruntime', advice, probe_onnxruntime)]


def probe_onnxruntime() -> Iterator[str]:
    """Import ONNX Runtime and yield its version and execution providers."""
    onnxruntime = importlib.import_module('onnxruntime')
    names = onnxruntime.get_available_providers()
    providers = ', '.join(name.removesuffix('ExecutionProvider') for name in names)
    yield f'{onnxruntime.__version__}, providers: {providers}'


def check_litert() -> list[Check]:
    """Import LiteRT, which runs the networks on the CPU."""
    runtimes = {'ai_edge_litert': 'ai-edge-litert', 'tflite_runtime': 'tflite-runtime'}
    for module, distribution in runtimes.items():
        if is_there(module):
            summary = f'{module} {version_of(distribution)}'.strip()
            advice = f'pip install --force-reinstall {distribution}'
            return [_examine('litert', advice, probe_import, f'{module}.interpreter', summary)]
    return _not_installed('litert', 'a fallback: pip install ai-edge-litert')


def probe_import(module: str, summary: str) -> Iterator[str]:
    """Import a module and yield the summary."""
    importlib.import_module(module)
    yield summary


def _not_installed(name: str, advice: str) -> list[Check]:
    return [Check(name, Status.WARNING, 'not installed', advice)]


def _examine(
    name: str, advice: str, probe: Callable[..., Iterable[str]], *arguments: str
) -> Check:
    """
    Import a runtime in a process of its own.

    :param name: of the check.
    :param advice: for where it cannot be imported.
    :param probe: yields the summary, or raises where the runtime cannot be imported.
    :param arguments: of the probe.
    """
    outcome = run_isolated(probe, *arguments, timeout_s=PROBE_TIMEOUT_S)
    if outcome.failure or not outcome.messages:
        reason = outcome.failure or 'it ends the process'
        return Check(name, Status.ERROR, f'cannot be imported: {reason}', advice)
    return Check(name, Status.OK, outcome.messages[-1])
