# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks on PyTorch, straight from their checkpoints; on the GPU where PyTorch sees one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, one_line
from aitable_ros.inference.model_spec import ModelSpec

MAX_BATCH = 16
"""Images that are run at once; larger batches are run in parts, to bound the memory used."""


ARCHITECTURES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {'emonet': ('aitable_ros.model_zoo.emonet.network', 'load_emonet', 'expression')}
)
"""
The code of networks, by the name of the model or what comes before the first underscore in it.

Module, imported on first use since it imports PyTorch; function, called as ``load(path,
classes=n)``; and the output whose second dimension ``classes`` is. The function executes nothing
of the file, raises ValueError for one that does not fit, and returns an object whose ``model``
takes float32 (N, 3, H, W) and gives tensors by name.
"""


class PyTorchEngine(Engine):
    """
    A checkpoint run by PyTorch.

    Pixels become ``pixel * spec.scale + spec.offset``, as in the graphs of the other backends.

    :param spec: the network's contract, with one image input uint8 (N, H, W, 3).
    :param path: the ``.pth`` file.
    :param threads: threads of a run on the CPU. PyTorch keeps this number per process: each run
        sets it and puts back what was there.
    :raises InferenceError: when PyTorch is missing, the GPU cannot be used, there is no code for
        this network, or the checkpoint is missing, damaged, or of another network.
    """

    backend = 'pytorch'

    def __init__(self, spec: ModelSpec, path: Path, *, threads: int = 1) -> None:
        super().__init__(spec, path, threads)
        architecture = ARCHITECTURES.get(spec.name) or ARCHITECTURES.get(spec.name.split('_')[0])
        if architecture is None:
            raise self._error(
                'a checkpoint has no more than weights, and there is code only for'
                f' {", ".join(ARCHITECTURES)}'
            )
        self._check_image()
        try:
            self._torch: Any = importlib.import_module('torch')
        except ImportError as error:
            raise self._error(f'PyTorch cannot be imported: {error}') from error
        if not self.path.is_file():
            raise self._error(f'{self.path}: no such file')
        self._threads = threads
        self._scale, self._offset = spec.scale, spec.offset
        self._device = self._open_device()
        self._model = self._load(*architecture)

    def _open_device(self) -> Any:
        try:
            device = self._torch.device('cuda:0' if self._torch.cuda.is_available() else 'cpu')
            self._torch.empty(1, device=device)
        except Exception as error:  # RuntimeError, AssertionError, or of the driver
            raise self._error(f'the GPU cannot be used: {one_line(error)}') from error
        return device

    def _load(self, module: str, function: str, class_output: str) -> Any:
        classes = next((out.shape[1] for out in self.outputs if out.name == class_output), None)
        load = getattr(importlib.import_module(module), function)
        try:
            model = load(self.path, classes=classes).model
            return model.to(self._device)
        except (ValueError, RuntimeError) as error:
            raise self._error(one_line(error)) from error

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        torch = self._torch
        images = inputs[self.inputs[0].name]
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(self._threads)
            # TF32, PyTorch's default on the GPU, has 10 bits of mantissa; other backends have 23.
            exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
            with torch.inference_mode(), exact:
                parts = [
                    self._run(images[begin : begin + MAX_BATCH])
                    for begin in range(0, len(images), MAX_BATCH)
                ]
        except Exception as error:  # PyTorch's errors share no base class below Exception
            raise self._error(f'run failed: {one_line(error)}') from error
        finally:
            torch.set_num_threads(threads)
        outputs = {}
        for output in self.outputs:
            array = np.concatenate([part[output.name] for part in parts])
            self._check_output(output, array)
            outputs[output.name] = array
        return outputs

    def _run(self, images: npt.NDArray) -> dict[str, npt.NDArray]:
        torch = self._torch
        # A copy: PyTorch cannot wrap arrays with negative strides, and warns about read-only ones.
        pixels = torch.from_numpy(np.array(images, order='C')).to(self._device)
        pixels = pixels.permute(0, 3, 1, 2).float()
        result = self._model((pixels * self._scale + self._offset).contiguous())
        arrays = {}
        for output in self.outputs:
            if output.name not in result:
                raise self._error(f'output {output} is missing')
            tensor = result[output.name]
            # The network may leave out a dimension of 1.
            shape = (len(images), *output.shape[1:])
            if tensor.numel() == np.prod(shape):
                tensor = tensor.reshape(shape)
            arrays[output.name] = tensor.to('cpu', copy=True).numpy()
        return arrays

    def _close(self) -> None:
        on_gpu = self._device.type == 'cuda'
        self._model = None
        if on_gpu:
            self._torch.cuda.empty_cache()
