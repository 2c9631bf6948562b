# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what runs the networks works: the NVIDIA driver and the inference runtimes."""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from aitable_ros.inference.tensorrt.gate import DRIVER_LIBRARY, local_gpu
from aitable_ros.inference.tensorrt.gpu_support import trouble_on
from aitable_ros.inference.tensorrt.rtx_gate import CAPABILITIES
from aitable_ros.inference.tensorrt.runtime import MODULES, RTX_MODULES, load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import Gpu
from aitable_ros.tools.preflight.check import PROBE_TIMEOUT_S, Check, Status
from aitable_ros.tools.support.installed import is_there, version_of
from aitable_ros.tools.support.isolation import run_isolated


def check_cuda() -> list[Check]:
    """Ask the NVIDIA driver for its first device, which TensorRT would use."""
    outcome = run_isolated(probe_cuda, timeout_s=PROBE_TIMEOUT_S)
    works, summary = outcome.messages[0] if outcome.messages else (False, outcome.failure)
    if works:
        return [Check('cuda', Status.OK, summary)]
    status = Status.WARNING
    advice = (
        'without an NVIDIA GPU and its driver the networks run on the CPU; in Docker: --gpus all'
        ' (on a Jetson: --runtime nvidia)'
    )
    if outcome.failure or ('that works' in summary and 'error 100' not in summary):
        status = Status.ERROR
        advice = 'see nvidia-smi and the kernel log; after an update of the driver, restart'
    return [Check('cuda', status, summary, advice)]


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
    """Name the release of Jetson Linux, on which TensorRT's version depends; empty elsewhere."""
    try:
        text = (root / 'etc' / 'nv_tegra_release').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
    release = re.search(r'R(\d+).*?REVISION: ([\d.]+)', text)
    return f'Jetson Linux {release[1]}.{release[2]}' if release else ''


RUNTIMES: Mapping[str, tuple[tuple[str, ...], str]] = {
    'tensorrt': (
        MODULES,
        'primary where there is an NVIDIA GPU; must match its libraries and this Python: on a'
        ' Jetson sudo apt install tensorrt python3-libnvinfer, elsewhere pip install tensorrt',
    ),
    'tensorrt_rtx': (
        RTX_MODULES,
        'for desktop RTX cards: pip install --force-reinstall tensorrt-rtx-cu13',
    ),
    'pycuda': (
        ('pycuda.driver',),
        'TensorRT engines need it, compiled for the installed CUDA (nvcc must be in PATH):'
        ' pip install --force-reinstall --no-binary pycuda pycuda',
    ),
    'onnxruntime': (('onnxruntime',), 'a fallback: pip install --force-reinstall onnxruntime'),
    'litert': (
        ('ai_edge_litert.interpreter', 'tflite_runtime.interpreter'),
        'a fallback: pip install --force-reinstall ai-edge-litert',
    ),
}
"""What is looked for, by the name of its check: modules of which one is imported, and advice."""


def check_runtime(name: str) -> list[Check]:
    """
    Import a runtime in a process of its own; tell its version, and what it can do.

    :param name: one of :data:`RUNTIMES`.
    """
    modules, advice = RUNTIMES[name]
    module = next((each for each in modules if is_there(each.partition('.')[0])), '')
    if not module and name == 'tensorrt_rtx':
        return []  # only for some GPUs
    if not module:
        return [Check(name, Status.WARNING, 'not installed', advice)]
    outcome = run_isolated(probe_runtime, name, module, timeout_s=PROBE_TIMEOUT_S)
    if outcome.messages and not outcome.failure:
        summary, trouble = outcome.messages[-1]
        status = Status.ERROR if trouble else Status.OK
        return [Check(name, status, summary, trouble)]
    reason = f'cannot be imported: {outcome.failure or "it ends the process"}'
    if DRIVER_LIBRARY in reason:  # the package is as it should be, the machine has no GPU
        return [Check(name, Status.WARNING, reason, 'it needs the NVIDIA driver')]
    return [Check(name, Status.ERROR, reason, advice)]


def probe_runtime(name: str, module: str) -> Iterator[tuple[str, str]]:
    """Import a runtime and yield what it is, and what stands in its way on this machine's GPU."""
    if name.startswith('tensorrt'):
        trt = load_tensorrt(RTX_MODULES if name == 'tensorrt_rtx' else MODULES)
        builds = hasattr(trt, 'Builder')
        kind = 'builds and runs engines' if builds else 'lean runtime: runs engines only'
        gpu, trouble = local_gpu(), ''
        if isinstance(gpu, Gpu):
            capability = gpu.compute_capability
            if name == 'tensorrt':
                trouble = trouble_on(capability, trt.__version__)
            elif capability not in CAPABILITIES:
                kind += f', but not on compute capability {capability}'
        yield f'{trt.__version__} ({trt.__name__}), {kind}', trouble
    else:
        importlib.import_module(module)
        package = module.partition('.')[0]
        yield f'{package} {version_of(package) or "of unknown version"}', ''
