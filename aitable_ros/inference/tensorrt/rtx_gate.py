# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Why TensorRT-RTX cannot run a network here; as :mod:`aitable_ros.inference.tensorrt.gate`."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt import gate
from aitable_ros.inference.tensorrt.runtime import RTX_MODULES, load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import Gpu, read_sidecar
from aitable_ros.regular_files import file_sha256

CAPABILITIES = ('7.5', '8.0', '8.6', '8.9', '12.0', '12.1')
"""Compute capabilities that TensorRT-RTX 1.7 builds for: neither 8.7 (Orin) nor 9.0 (Hopper)."""


def absence() -> str:
    """Say why no network can run on TensorRT-RTX on this machine; empty: they can."""
    gpu = gate.local_gpu()
    if isinstance(gpu, Gpu) and gpu.compute_capability not in CAPABILITIES:
        return f'TensorRT-RTX has no kernels for {gpu}, only for {", ".join(CAPABILITIES)}'
    return gate.absence()


def settings(spec: ModelSpec, path: Path) -> dict[str, Any]:
    """
    Check an engine file by its record, and return how it is to be loaded.

    :param spec: the network.
    :param path: the engine file, which exists.
    :returns: keyword arguments for the engine class.
    :raises InferenceError: when the modules cannot be imported, or the file is damaged, was built
        for another TensorRT-RTX or other GPUs, or from an ONNX file that has been replaced since;
        the message has the command that builds it.
    """
    trt = _modules()
    if isinstance(trt, str):
        raise InferenceError(trt)
    how_to_load = {'mapped_memory': True} if spec.mapped_memory else {}
    record = read_sidecar(path)
    if record is None:
        return how_to_load
    build = build_command(spec.name, path.parent, brought=spec.is_open)
    try:
        sha256 = file_sha256(path)
    except OSError as error:
        raise InferenceError(f'{path} cannot be read: {error.strerror or error}') from error
    gate.check_undamaged(path, sha256, record, build)
    gpu = gate.local_gpu()
    if isinstance(gpu, Gpu) and gpu.compute_capability not in record.targets:
        raise InferenceError(
            f'{path} was built for another GPU: compute capability {", ".join(record.targets)};'
            f' this is {gpu} ({build})'
        )
    if trt.__version__ != record.tensorrt:
        raise InferenceError(
            f'{path} was built for another TensorRT-RTX version: {record.tensorrt}; here is'
            f' {trt.__version__} ({build})'
        )
    gate.check_source(path, record, build)
    return how_to_load


def advice(spec: ModelSpec, path: Path, reason: str) -> str:
    """Add to an engine's own reason for not loading the command that builds it, if it helps."""
    command = build_command(spec.name, path.parent, brought=spec.is_open)
    if gate.FILE_TO_BLAME.search(reason) and command not in reason:
        return f'{reason} ({command})'
    return reason


def build_command(model: str, engines_dir: Path, *, brought: bool = False) -> str:
    """Return the command that builds the engine of a model; as :func:`gate.build_command`."""
    return f'{gate.build_command(model, engines_dir, brought=brought)} --rtx'


@functools.cache
def _modules() -> Any:
    """Import TensorRT-RTX and PyCUDA; return TensorRT-RTX's, or in one line what is wrong."""
    try:
        trt = load_tensorrt(RTX_MODULES)
        importlib.import_module('pycuda.driver')
    except (InferenceError, ImportError) as error:
        return str(error)
    return trt
