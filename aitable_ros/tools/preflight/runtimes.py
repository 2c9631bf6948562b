# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what runs the networks works: the NVIDIA driver and the inference runtimes."""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aitable_ros.inference.tensorrt.gate import DRIVER_LIBRARY, local_gpu
from aitable_ros.inference.tensorrt.runtime import MODULES, load_tensorrt
from aitable_ros.tools.preflight.check import PROBE_TIMEOUT_S, Check, Status
from aitable_ros.tools.support.installed import is_there, version_of
from aitable_ros.tools.support.isolation import run_isolated


def check_cuda() -> list[Check]:
    """Ask the NVIDIA driver for its first device, which TensorRT would use."""
    outcome = run_isolated(probe_cuda, timeout_s=PROBE_TIMEOUT_S)
    works, summary = outcome.messages[0] if outcome.messages else (False, outcome.failure)
    if works:
        return [Check('cuda', Status.OK, summary)]
    if outcome.failure or ('that works' in summary and 'error 100' not in summary):
        advice = (
            'see nvidia-smi (on a Jetson: tegrastats) and the kernel log; after an update of the'
            ' driver, restart the machine'
        )
        return [Check('cuda', Status.ERROR, summary, advice)]
    advice = (
        'without an NVIDIA GPU and its driver the networks run on the CPU; in Docker: --gpus all'
        ' (on a Jetson: --runtime nvidia)'
    )
    return [Check('cuda', Status.WARNING, summary, advice)]


def probe_cuda() -> Iterator[tuple[bool, str]]:
    """Call the driver; yield whether there is a device, and which, or why there is none."""
    gpu = local_gpu()
    if isinstance(gpu, str):
        yield False, gpu
        return
    version = ctypes.c_int()
    ctypes.CDLL(DRIVER_LIBRARY).cuDriverGetVersion(ctypes.byref(version))
    driver = f'{version.value // 1000}.{version.value % 1000 // 10}'
    summary = f'device 0: {gpu.name}, compute capability {gpu.compute_capability}'
    yield True, ', '.join(filter(None, (f'{summary}; driver for CUDA {driver}', jetson())))


def jetson(root: Path = Path('/')) -> str:
    """
    Name a Jetson and its release of Jetson Linux, on which TensorRT's version depends.

    :param root: where the file system begins.
    :returns: empty on other machines.
    """
    texts = []
    for name in ('proc/device-tree/model', 'etc/nv_tegra_release'):
        try:
            texts.append((root / name).read_text(encoding='utf-8', errors='replace'))
        except OSError:
            texts.append('')
    release = re.search(r'R(\d+).*?REVISION: ([\d.]+)', texts[1])
    if release is None:
        return ''
    return f'{texts[0].rstrip(chr(0)).strip()}, Jetson Linux {release[1]}.{release[2]}'


@dataclass(frozen=True)
class Runtime:
    """
    A package that runs networks, or helps to.

    :param modules: one of these brings it.
    :param absent: advice where there is none.
    :param broken: advice where it cannot be imported.
    """

    modules: tuple[str, ...]
    absent: str
    broken: str


RUNTIMES: Mapping[str, Runtime] = {
    'tensorrt': Runtime(
        MODULES,
        'the primary backend where there is an NVIDIA GPU: on a Jetson sudo apt install tensorrt'
        ' python3-libnvinfer, elsewhere pip install tensorrt',
        'its Python module must match the installed libraries and this Python',
    ),
    'pycuda': Runtime(
        ('pycuda',),
        'TensorRT engines need it: pip install pycuda (compiles; nvcc must be in PATH)',
        'it has to be compiled for the installed CUDA: pip install --force-reinstall'
        ' --no-binary pycuda pycuda',
    ),
    'onnxruntime': Runtime(
        ('onnxruntime',),
        'a fallback: pip install onnxruntime',
        'pip install --force-reinstall onnxruntime',
    ),
    'litert': Runtime(
        ('ai_edge_litert', 'tflite_runtime'),
        'a fallback: pip install ai-edge-litert',
        'pip install --force-reinstall ai-edge-litert',
    ),
}
"""What is looked for, by the name of its check."""


def check_runtime(name: str) -> list[Check]:
    """
    Import a runtime in a process of its own; tell its version, and what it can do.

    :param name: one of :data:`RUNTIMES`.
    """
    runtime = RUNTIMES[name]
    module = next(filter(is_there, runtime.modules), '')
    if not module:
        return [Check(name, Status.WARNING, 'not installed', runtime.absent)]
    outcome = run_isolated(probe_runtime, name, module, timeout_s=PROBE_TIMEOUT_S)
    if outcome.messages and not outcome.failure:
        return [Check(name, Status.OK, outcome.messages[-1])]
    reason = f'cannot be imported: {outcome.failure or "it ends the process"}'
    if DRIVER_LIBRARY in reason:  # the package is as it should be, the machine has no GPU
        advice = 'it works where the NVIDIA driver is installed'
        return [Check(name, Status.WARNING, reason, advice)]
    return [Check(name, Status.ERROR, reason, runtime.broken)]


def probe_runtime(name: str, module: str) -> Iterator[str]:
    """Import a runtime and yield what it is."""
    if name == 'tensorrt':
        trt = load_tensorrt()
        builds = hasattr(trt, 'Builder')
        kind = 'builds and runs engines' if builds else 'lean runtime: runs engines only'
        yield f'{trt.__version__} ({trt.__name__}), {kind}'
    elif name == 'pycuda':
        importlib.import_module('pycuda.driver')
        yield version_of(module) or 'installed'
    elif name == 'litert':
        importlib.import_module(f'{module}.interpreter')
        yield f'{module} {version_of(module)}'.strip()
    else:
        onnxruntime = importlib.import_module(module)
        names = onnxruntime.get_available_providers()
        providers = ', '.join(each.removesuffix('ExecutionProvider') for each in names)
        yield f'{onnxruntime.__version__}, providers: {providers}'
