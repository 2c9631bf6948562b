# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks on LiteRT (TensorFlow Lite) with XNNPACK, straight from their .tflite files."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, one_line
from aitable_ros.inference.model_spec import ModelSpec

_RUNTIMES = ('ai_edge_litert.interpreter', 'tflite_runtime.interpreter')
_FILE_IDENTIFIER = b'TFL3'  # bytes 4-8 of the file; schema.fbs of TensorFlow Lite
_NOISE = b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.'


class LitertEngine(Engine):
    """
    A float32 TFLite network with one image input, run one image at a time.

    The image, uint8 (N, H, W, 3), is scaled into the interpreter's own input buffer.

    :param spec: the network; the file must have its tensors (of batch 1).
    :param path: the .tflite file.
    :param threads: threads of XNNPACK.
    :raises InferenceError: when no runtime is installed, or the file is missing, damaged, or
        of another network.
    """

    backend = 'litert'

    def __init__(self, spec: ModelSpec, path: Path, *, threads: int = 1) -> None:
        super().__init__(spec, path, threads)
        content = self._read_file()
        if content[4:8] != _FILE_IDENTIFIER:
            raise self._error(
                f'{self.path} is not a TFLite file: expected {_FILE_IDENTIFIER!r} at byte 4 of'
                f' {len(content)}'
            )
        interpreter_class = self._runtime()
        try:
            with _without_noise():
                self._interpreter = interpreter_class(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
            given = self._interpreter.get_input_details()
            made = self._interpreter.get_output_details()
        except Exception as error:  # what it raises on damaged files is not documented
            raise self._error(f'{self.path} is not a usable model: {one_line(error)}') from error
        self._scale = np.float32(spec.scale)
        self._offset = np.float32(spec.offset)
        self._write = self._input_buffer(given)
        self._made = self._output_indices(made, spec.tflite_outputs)

    def _runtime(self) -> Callable[..., Any]:
        failures = []
        for name in _RUNTIMES:
            if importlib.util.find_spec(name.partition('.')[0]) is None:
                continue
            try:
                return importlib.import_module(name).Interpreter
            except (ImportError, AttributeError) as error:
                failures.append(f'{name} cannot be imported: {error}')
        nothing = (
            'neither ai_edge_litert nor tflite_runtime is installed (pip install ai-edge-litert)'
        )
        raise self._error('; '.join(failures) or nothing)

    def _input_buffer(self, details: list[dict[str, Any]]) -> Callable[[], npt.NDArray]:
        if len(self.inputs) != 1 or len(details) != 1:
            raise self._error(f'expected one input tensor, the file has {_describe(details)}')
        want = (1, *self.inputs[0].shape[1:])
        if tuple(details[0]['shape']) != want or details[0]['dtype'] != np.float32:
            raise self._error(
                f'input {self.inputs[0]}: expected float32{list(want)} in the file, it has'
                f' {_describe(details)}'
            )
        return self._interpreter.tensor(details[0]['index'])

    def _output_indices(
        self, details: list[dict[str, Any]], names: Mapping[str, str]
    ) -> list[tuple[str, int, tuple[int, ...]]]:
        """Say which output is which tensor, and the shape that it has for one image."""
        in_file = {names.get(detail['name'], detail['name']): detail for detail in details}
        made = []
        for output in self.outputs:
            detail = in_file.get(output.name)
            # the file may fold dimensions, as [1,1,1,1404] for [1,468,3]: same values in order
            if (
                detail is None
                or detail['dtype'] != np.float32
                or math.prod(detail['shape']) != math.prod(output.shape[1:])
            ):
                raise self._error(
                    f'output {output}: not among those of the file: {_describe(details)}'
                )
            made.append((output.name, int(detail['index']), (1, *output.shape[1:])))
        return made

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        images = inputs[self.inputs[0].name]
        runs = [self._run(image) for image in images]
        if len(runs) == 1:
            return runs[0]
        results = self._empty_outputs(len(runs))
        for i, run in enumerate(runs):
            for name, value in run.items():
                results[name][i] = value[0]
        return results

    def _run(self, image: npt.NDArray) -> dict[str, npt.NDArray]:
        self._fill(image)
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise self._error(f'running failed: {error}') from error
        get = self._interpreter.get_tensor  # copies
        return {name: get(index).reshape(shape) for name, index, shape in self._made}

    def _fill(self, image: npt.NDArray) -> None:
        # The view must be gone before invoke(), which refuses to run while one exists; leaving
        # this function drops it, by an exception too once that has been handled.
        buffer = self._write()[0]
        np.multiply(image, self._scale, out=buffer)
        if self._offset:
            np.add(buffer, self._offset, out=buffer)

    def _close(self) -> None:
        del self._write, self._interpreter


def _describe(details: list[dict[str, Any]]) -> str:
    return ', '.join(
        f'{d["name"]} {np.dtype(d["dtype"]).name}{[int(n) for n in d["shape"]]}' for d in details
    )


_noise_lock = threading.Lock()
_noise_over = False


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """
    Keep one line of the runtime off stderr: it is written once per process, cannot be switched
    off, and would break progress bars and logs. Everything else written meanwhile is passed on.
    """
    global _noise_over
    if _noise_over:
        yield
        return
    with _noise_lock:
        try:
            sys.stderr.flush()
            stderr = os.dup(2)
        except (OSError, ValueError, AttributeError):  # no stderr: nothing to keep clean
            yield
            return
        with tempfile.TemporaryFile() as caught:
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)
                caught.seek(0)
                for line in caught:
                    if line.strip() == _NOISE:
                        _noise_over = True
                    else:
                        os.write(2, line)
