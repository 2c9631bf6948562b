# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Why TensorRT cannot run a network here, found out before the heavy modules are imported.

Asked by :mod:`aitable_ros.inference.selection`. What holds for the whole machine is found out
once per process, also when the answer is no: several networks ask in turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt.cuda import DRIVER_LIBRARY, call_driver
from aitable_ros.inference.tensorrt.runtime import HOST_CODE_REFUSED, load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import EngineSidecar, Gpu, read_sidecar
from aitable_ros.regular_files import file_sha256

# CUdevice_attribute of cuda.h; the same in every version
_MULTIPROCESSORS = 16
_CAPABILITY_MAJOR = 75
_CAPABILITY_MINOR = 76

FILE_TO_BLAME = re.compile(
    r'built for another|truncated|damaged|is empty|not this network|implicit batch|no optimisation'
)


def absence() -> str:
    """
    Say why no network can run on TensorRT on this machine.

    :returns: the reason in one line; empty when there is a GPU, and PyCUDA.
    """
    found = local_gpu()
    if isinstance(found, str):
        return found
    if importlib.util.find_spec('pycuda') is None:
        return 'module pycuda is not installed (pip install pycuda)'
    return ''


def settings(spec: ModelSpec, path: Path) -> dict[str, Any]:
    """
    Check an engine file by its record, and return how it is to be loaded.

    Without a record only the modules are checked; TensorRT then has to judge the file.

    :param spec: the network. Its ``host_code_sha256`` names the one file that may bring code.
    :param path: the engine file, which exists.
    :returns: keyword arguments for the engine class.
    :raises InferenceError: when the modules cannot be imported, or the file is damaged or was
        built for another TensorRT version or GPU, or from an ONNX file that has been replaced
        since; the message has the command that builds it.
    """
    trt = _modules()
    if isinstance(trt, str):
        raise InferenceError(trt)
    record = read_sidecar(path)
    build = build_command(spec.name, path.parent, brought=spec.is_open)
    if record is not None or spec.host_code_sha256:
        try:
            sha256 = file_sha256(path)
        except OSError as error:
            raise InferenceError(f'{path} cannot be read: {error.strerror or error}') from error
    allowed = bool(spec.host_code_sha256) and sha256 == spec.host_code_sha256
    how_to_load = {'allow_host_code': allowed}
    if spec.mapped_memory:
        how_to_load['mapped_memory'] = True
    if spec.gpu_crops:
        how_to_load['gpu_crops'] = True
    if record is None:
        return how_to_load
    check_undamaged(path, sha256, record, build)
    gpu = local_gpu()
    if isinstance(gpu, Gpu) and gpu != record.gpu:
        raise InferenceError(
            f'{path} was built for another GPU: {record.gpu}; this is {gpu} ({build})'
        )
    if not record.version_compatible and trt.__version__ != record.tensorrt:
        raise InferenceError(
            f'{path} was built for another TensorRT version: {record.tensorrt}; here is'
            f' {trt.__version__} ({build})'
        )
    check_source(path, record, build)
    if record.version_compatible and not allowed:
        raise InferenceError(
            f'{path} is version-compatible and so carries code that would run in this process;'
            f' {_way_to_allow(spec, path, sha256)}'
        )
    return how_to_load


def check_undamaged(path: Path, sha256: str, record: EngineSidecar, build: str) -> None:
    """
    Compare an engine file with its record.

    :param sha256: of the file.
    :param build: the command that builds it.
    :raises InferenceError: when it is not the recorded one.
    """
    if sha256 == record.engine_sha256:
        return
    size = path.stat().st_size
    how = (
        f'truncated: {size} of {record.engine_size} bytes'
        if size < record.engine_size
        else 'damaged: its sha256 is not the one recorded'
    )
    raise InferenceError(f'{path} is {how} ({build})')


def check_source(path: Path, record: EngineSidecar, build: str) -> None:
    """
    Check that an engine was built from the ONNX file that is beside it.

    :param build: the command that builds it.
    :raises InferenceError: when that was replaced since.
    """
    onnx = path.with_suffix('.onnx')
    if _was_replaced(onnx, record):
        raise InferenceError(
            f'{path} is out of date: it was built from another {onnx.name} than is there now'
            f' ({build})'
        )


def _was_replaced(onnx: Path, record: EngineSidecar) -> bool:
    """Tell whether the ONNX file is the one that the engine was built from, with new content."""
    if Path(record.onnx_source) != onnx:
        return False
    try:
        return file_sha256(onnx) != record.onnx_sha256
    except OSError:
        return False


def _way_to_allow(spec: ModelSpec, path: Path, sha256: str) -> str:
    if spec.is_open:
        build = build_command(spec.name, path.parent, brought=True)
        return f'only models of the catalog may; build it for this machine ({build})'
    return (
        f"if you built it, allow exactly this file: host_code_sha256: '{sha256}' under"
        f' {spec.name} in models.yaml'
    )


def advice(spec: ModelSpec, path: Path, reason: str) -> str:
    """
    Add to an engine's own reason for not loading what helps, if anything does.

    :param spec: the network.
    :param path: the engine file.
    :param reason: the engine's message.
    """
    if HOST_CODE_REFUSED in reason:  # by TensorRT, for a file without a record
        with contextlib.suppress(OSError):
            return f'{reason}; {_way_to_allow(spec, path, file_sha256(path))}'
    command = build_command(spec.name, path.parent, brought=spec.is_open)
    if FILE_TO_BLAME.search(reason) and command not in reason:
        return f'{reason} ({command})'
    return reason


def build_command(model: str, engines_dir: Path, *, brought: bool = False) -> str:
    """
    Return the command that builds the engine of a model.

    :param model: its name.
    :param engines_dir: folder for the engine.
    :param brought: it is the user's own, and no model of the catalog.
    """
    tool = 'python3 -m aitable_ros.tools.build_engines'
    source = ''
    if brought:
        source = f' --onnx {shlex.quote(str(engines_dir / f"{model}.onnx"))}'
        model = shlex.quote(model)
    return f'{tool} {model}{source} --engines-dir {shlex.quote(str(engines_dir))}'


@functools.cache
def local_gpu() -> Gpu | str:
    """
    Return the first CUDA device, or in one line why there is none.

    The driver is asked, without a context and without PyCUDA: under a millisecond where there
    is no driver.
    """
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError as error:
        if not str(error).startswith(f'{DRIVER_LIBRARY}: cannot open'):
            # it is there and cannot be used, as in a container that was started without the GPU
            return f'there is no CUDA device: the NVIDIA driver cannot be loaded: {error}'
        return f'there is no CUDA device: the NVIDIA driver ({DRIVER_LIBRARY}) is not installed'
    try:
        count = ctypes.c_int()
        call_driver(driver, 'cuInit', ctypes.c_uint(0))
        call_driver(driver, 'cuDeviceGetCount', ctypes.byref(count))
        if count.value < 1:
            return 'there is no CUDA device'
        device = ctypes.c_int()
        call_driver(driver, 'cuDeviceGet', ctypes.byref(device), ctypes.c_int(0))
        name = ctypes.create_string_buffer(256)
        call_driver(driver, 'cuDeviceGetName', name, ctypes.c_int(len(name)), device)
        major, minor, multiprocessors = (
            _attribute(driver, attribute, device)
            for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _MULTIPROCESSORS)
        )
    except (InferenceError, AttributeError) as error:
        return f'there is no CUDA device that works: {error}'
    return Gpu(name.value.decode(errors='replace'), f'{major}.{minor}', multiprocessors)


def _attribute(driver: Any, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    call_driver(
        driver, 'cuDeviceGetAttribute', ctypes.byref(value), ctypes.c_int(attribute), device
    )
    return value.value


@functools.cache
def _modules() -> Any:
    """Import TensorRT and PyCUDA; return TensorRT's module, or in one line what is wrong."""
    try:
        trt = load_tensorrt()
    except InferenceError as error:
        return str(error)
    try:
        importlib.import_module('pycuda.driver')
    except ImportError as error:
        return f'pycuda cannot be imported: {error}'
    return trt
