# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The one interface through which every network is run, whatever executes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.model_spec import DYNAMIC, ModelSpec, TensorSpec
from aitable_ros.regular_files import open_regular

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_FILE_BYTES = 2**31 - 1
"""Largest model file that is read into memory: flatbuffers address with signed 32 bits."""


class InferenceError(RuntimeError):
    """
    The one error of all engines: could not be loaded, was misused, or failed while running.

    The message names the engine, the tensor where one is at fault, what was expected and
    what came.
    """


_LINE_LENGTH = 2000


def one_line(error: object) -> str:
    """
    Return what an error says without line breaks, cut off where it is too long for a line.

    Messages go into logs, answers and diagnostics, and what others wrote may be part of them.
    """
    text = str(error)
    # cut before it is split, too: it may be of any length
    line = ' '.join(text[: 2 * _LINE_LENGTH].split())
    if len(line) <= _LINE_LENGTH and len(text) <= 2 * _LINE_LENGTH:
        return line
    return f'{line[:_LINE_LENGTH]} … ({len(text):,} characters)'


class Engine(ABC):
    """
    A loaded network: named arrays in, named arrays out.

    An engine belongs to the thread that created it: create, use and close it there. Use it as
    a context manager, or call :meth:`close`. The arrays that :meth:`infer` returns belong to
    the caller.

    Subclasses implement :meth:`_infer` and :meth:`_close`; this class checks state and inputs.
    ``inputs``, all of which must be given on every call, and ``outputs`` are the spec's.

    :param spec: the network.
    :param path: the file the network is loaded from.
    :param threads: of a run on the CPU.
    """

    backend: str = ''
    """Name of the backend, as used in parameters and messages; set by each subclass."""

    def __init__(self, spec: ModelSpec, path: Path, threads: int = 1) -> None:
        self.name = spec.name
        self.path = Path(path)
        self.inputs = spec.inputs
        self.outputs = spec.outputs
        self._closed = False
        if threads < 1:
            raise self._error(f'expected at least 1 thread, got {threads}')

    @property
    def closed(self) -> bool:
        """True after :meth:`close`."""
        return self._closed

    def infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        """
        Run the network once.

        :param inputs: one array per input tensor, by name; where several inputs have a dynamic
            first dimension it is the same for all (the batch).
        :returns: one newly allocated array per output tensor, by name.
        :raises InferenceError: when closed, when a tensor is missing, unknown, or of another
            shape or dtype than declared, or when the runtime fails.
        """
        if self._closed:
            raise self._error('used after close()')
        self._check(inputs)
        return self._infer(inputs)

    @property
    def cuts_crops(self) -> bool:
        """Whether :meth:`infer_crops` is there: for engines of one uint8[N,H,W,3] input."""
        return False

    def infer_crops(
        self,
        image: npt.NDArray[np.uint8],
        maps: npt.NDArray[np.float64],
        *,
        replicate: bool,
    ) -> dict[str, npt.NDArray]:
        """
        Cut regions out of a picture, where the network runs, and run it on them.

        :param image: (H, W, 3) uint8.
        :param maps: (N, 2, 3), finite: from pixels of a crop to pixels of the picture.
        :param replicate: outside of the picture its edge goes on, instead of black.
        :returns: as :meth:`infer` for the crops that ``cv2.warpAffine`` makes, bilinearly.
        :raises InferenceError: as :meth:`infer`, and unless :attr:`cuts_crops`.
        """
        raise self._error('cannot cut crops')

    def close(self) -> None:
        """Free what the engine holds; calling it again does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def _check(self, inputs: Mapping[str, npt.NDArray]) -> None:
        expected = {spec.name for spec in self.inputs}
        if inputs.keys() != expected:
            raise self._error(f'expected input tensors {sorted(expected)}, got {sorted(inputs)}')
        for spec in self.inputs:
            array = inputs[spec.name]
            if not isinstance(array, np.ndarray):
                raise self._error(
                    f'input {spec}: expected a NumPy array, got {type(array).__name__}'
                )
            if array.dtype != spec.dtype or not spec.accepts(array.shape):
                raise self._error(f'input {spec}: got {array.dtype.name}{list(array.shape)}')
        batches = {
            spec.name: inputs[spec.name].shape[0]
            for spec in self.inputs
            if spec.shape[:1] == (DYNAMIC,)
        }
        if len(set(batches.values())) > 1:
            raise self._error(f'inputs of one batch differ in size: {batches}')

    def _check_output(self, spec: TensorSpec, array: npt.NDArray) -> None:
        if array.dtype != spec.dtype or not spec.accepts(array.shape):
            raise self._error(f'output {spec}: got {array.dtype.name}{list(array.shape)}')

    def _check_image(self, channels: int | None = None) -> TensorSpec:
        """Return the one input, a uint8 image of a fixed size; refuse any other spec."""
        image = self.inputs[0] if len(self.inputs) == 1 else None
        if (
            image is None
            or image.dtype != np.uint8
            or len(image.shape) != 4
            or DYNAMIC in image.shape[1:]
            or channels not in (None, image.shape[3])
        ):
            raise self._error(
                f'expected one input uint8[N,H,W,{channels or "C"}], the spec has'
                f' {", ".join(map(str, self.inputs))}'
            )
        return image

    def _empty_outputs(self, count: int) -> dict[str, npt.NDArray]:
        return {out.name: np.empty((count, *out.shape[1:]), out.dtype) for out in self.outputs}

    def _read_file(self) -> bytes:
        try:
            size = self.path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise self._error(f'{self.path} is too large for a model: {size} bytes')
            with open_regular(self.path) as file:
                return file.read()
        except OSError as error:
            reason = error.strerror or error
            raise self._error(f'{self.path} cannot be read: {reason}') from error

    def _error(self, problem: object) -> InferenceError:
        """Return an error that names the engine."""
        return InferenceError(f'{self}: {problem}')

    @abstractmethod
    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        """Run the network on inputs that have been checked."""

    @abstractmethod
    def _close(self) -> None:
        """Free the runtime's resources; called once."""

    def __str__(self) -> str:
        """Name the engine as messages do: ``face_mesh on litert (face_mesh.tflite)``."""
        return f'{self.name} on {self.backend} ({self.path.name})'

    def __enter__(self) -> Self:
        """Return the engine itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the engine."""
        self.close()
