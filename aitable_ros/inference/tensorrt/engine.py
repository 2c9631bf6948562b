# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks on TensorRT 8.5 to 11, from engine files (plans), replayed as CUDA graphs."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt.crops import CropKernel
from aitable_ros.inference.tensorrt.cuda import CudaDevice, open_device
from aitable_ros.inference.tensorrt.plan import LoadedPlan, read_plan
from aitable_ros.inference.tensorrt.prepared_batch import (
    PreparedBatch,
    RunMemory,
    workspace_bytes,
)
from aitable_ros.inference.tensorrt.runtime import MODULES, load_tensorrt, log_of
from aitable_ros.inference.tensorrt.tensors import bind_tensors
from aitable_ros.inference.tensorrt.turn import Turn

MAX_PREPARED_BATCHES = 8
"""Batch sizes for which an execution context and its graph are kept; the oldest gives way."""

_log = logging.getLogger(__name__)


class TensorRtEngine(Engine):
    """
    A network on the GPU, from an engine file built for this TensorRT and this GPU.

    Host to host: inputs are put into pinned memory, copied to the GPU, run, and the outputs
    copied back, all on a stream of its own and, with ``cuda_graph``, recorded once per batch
    size and then launched as a whole. The record for a batch size is made at its first use
    (a few milliseconds), for the smallest batch when the engine is created. Where recording
    fails, the same steps run one by one, and the log says so.

    A batch larger than :attr:`max_batch` is run in several pieces. One smaller than any profile
    of the engine takes is filled up with zeros.

    Expects the spec's tensor names, shapes and dtypes in the file, with two exceptions that
    serve files converted without our steps: outputs may bear their TFLite names and fold
    dimensions (``[1,1,1,1404]`` for ``[1,468,3]``); and the image input, when it is the only
    one, may be float32, NHWC or NCHW, of any name. ``pixel * scale + offset`` is then computed
    on the host, which takes longer, as does copying four times the bytes.

    The GPU's primary context is used, so that PyTorch may run beside. Only the thread that
    created the engine may use or close it; once that thread has ended, any may close it. Always
    close it: what is left to the garbage collector is freed in no particular order.

    :param spec: the network; one without tensors takes those of the file.
    :param path: the engine file, as TensorRT or Ultralytics wrote it.
    :param device: number of the CUDA device.
    :param cuda_graph: record and replay, as above.
    :param mapped_memory: let the GPU read the input from the host's pinned memory and write the
        outputs there, instead of copying both. Saves two steps where each is read and written
        once, and on a Jetson, whose GPU shares the memory, also the copies; ``benchmark
        --mapped-memory`` tells.
    :param gpu_crops: be ready for :meth:`infer_crops`, for which NVRTC compiles a kernel.
    :param allow_host_code: let the plan bring code that runs in this process, as
        version-compatible plans do. Only for files from a trusted source: it is as good as
        running a program from there.
    :raises InferenceError: when TensorRT, PyCUDA or the device are missing, or the file is
        missing, damaged, of another network, TensorRT or GPU, needs more GPU memory than there
        is, or carries host code that is not allowed.
    """

    backend = 'tensorrt'
    modules: Sequence[str] = MODULES

    def __init__(
        self,
        spec: ModelSpec,
        path: Path,
        *,
        device: int = 0,
        cuda_graph: bool = True,
        mapped_memory: bool = False,
        gpu_crops: bool = False,
        allow_host_code: bool = False,
    ) -> None:
        super().__init__(spec, path)
        self._owner = threading.current_thread()
        self.turn = Turn()
        with self.turn:
            self._open(spec, device, cuda_graph, mapped_memory, allow_host_code)
            if gpu_crops:
                self._make_crop_kernel()

    def _open(
        self,
        spec: ModelSpec,
        device: int,
        cuda_graph: bool,
        mapped_memory: bool,
        allow_host_code: bool,
    ) -> None:
        self._use_graphs = cuda_graph
        self._crops: CropKernel | None = None
        self._prepared: OrderedDict[int, PreparedBatch] = OrderedDict()
        try:
            trt = load_tensorrt(self.modules)
            self._plan = LoadedPlan(trt, log_of(trt))
            content = read_plan(self.path)
            self._device: CudaDevice = open_device(device)
            self._memory = RunMemory(self._device)
        except InferenceError as error:
            self._closed = True
            raise self._error(error) from error
        try:
            with self._failing('cannot be loaded'), self._device:
                self._plan.load(content, self.path, self._device, allow_host_code=allow_host_code)
                self._plan.runtime_config = self._make_runtime_config()
                spec = self._plan.complete(spec)
                self.inputs, self.outputs = spec.inputs, spec.outputs
                bindings = bind_tensors(spec, self._plan.tensors)
                self._ranges = self._plan.batch_ranges(bindings[0])
                self._max_batch = max(batches.max for batches in self._ranges)
                activations = workspace_bytes(self._plan.engine)
                self._memory.allocate(
                    *bindings, self._max_batch, activations, mapped=mapped_memory
                )
                self._prepare(min(batches.min for batches in self._ranges))
        except BaseException:
            self._closed = True
            self._close()
            raise

    def _make_runtime_config(self) -> Any:
        """Return how TensorRT makes contexts, where it makes the graphs itself; None elsewhere."""
        return None

    def _make_crop_kernel(self) -> None:
        try:
            binding = self._memory.inputs[0] if len(self._memory.inputs) == 1 else None
            if (
                binding is None
                or (binding.dtype, binding.row_shape[2:]) != (np.uint8, (3,))
                or binding.write is not np.copyto
            ):
                raise self._error('gpu_crops needs an engine that takes uint8[N,H,W,3] alone')
            with self._failing('gpu_crops cannot be had'), self._device:
                self._crops = CropKernel(self._device, self._max_batch)
        except BaseException:
            self._closed = True
            self._close()
            raise

    @property
    def cuts_crops(self) -> bool:
        """See :attr:`Engine.cuts_crops`; so with ``gpu_crops``."""
        return self._crops is not None

    @property
    def max_batch(self) -> int:
        """The largest batch that runs in one piece."""
        return self._max_batch

    @property
    def uses_cuda_graph(self) -> bool:
        """Whether runs are launched as CUDA graphs; False also after recording failed."""
        return self._use_graphs

    @property
    def device_memory_bytes(self) -> int:
        """GPU memory for tensors and activations, allocated once; the weights come on top."""
        return self._memory.device_bytes

    @property
    def tensorrt_version(self) -> str:
        """Version of the TensorRT that runs the engine."""
        return str(self._plan.trt.__version__)

    def infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        """See :meth:`Engine.infer`; raises InferenceError in any thread but the owner."""
        if threading.current_thread() is not self._owner:
            raise self._thread_trouble('used')
        with self.turn:
            return super().infer(inputs)

    def infer_crops(
        self,
        image: npt.NDArray[np.uint8],
        maps: npt.NDArray[np.float64],
        *,
        replicate: bool,
    ) -> dict[str, npt.NDArray]:
        """See :meth:`Engine.infer_crops`: the picture's rows go up, and crops stay there."""
        if self._crops is None or self._closed:
            raise self._error('used for crops without gpu_crops, or after close()')
        if threading.current_thread() is not self._owner:
            raise self._thread_trouble('used')
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise self._error(f'expected uint8[H,W,3], got {image.dtype.name}{list(image.shape)}')
        if maps.shape != (len(maps), 2, 3) or not len(maps) or not np.isfinite(maps).all():
            raise self._error(f'expected finite maps [N,2,3], got {list(maps.shape)}')
        maps = np.ascontiguousarray(maps, np.float64)
        with self.turn, self._failing('running failed'), self._device:
            pieces = [
                self._run_crops(image, maps[start : start + self._max_batch], replicate)
                for start in range(0, len(maps), self._max_batch)
            ]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def close(self) -> None:
        """
        Free what the engine holds; calling it again does nothing.

        :raises InferenceError: in another thread than the owner, as long as that one runs.
        """
        if self._closed:
            return
        if threading.current_thread() is not self._owner and self._owner.is_alive():
            raise self._thread_trouble('closed')
        with self.turn:
            super().close()

    def replay(self, batch: int = 1) -> None:
        """
        Run once more on what the pinned memory holds, and leave the outputs there.

        This is what remains of a call to :meth:`infer` without the host's part: for benchmarks.

        :param batch: number of images, up to :attr:`max_batch`.
        :raises InferenceError: as :meth:`infer`.
        """
        if self._closed or threading.current_thread() is not self._owner:
            raise self._error('used after close() or outside of its thread')
        if not 1 <= batch <= self.max_batch:
            raise self._error(f'expected 1..{self.max_batch} images, got {batch}')
        with self.turn, self._failing('running failed'), self._device:
            self._prepare(batch).launch()

    @property
    def device(self) -> CudaDevice:
        """The device that it runs on."""
        return self._device

    def batch_of(self, inputs: Mapping[str, npt.NDArray]) -> int:
        """Check inputs as :meth:`infer` does, and return how many images they are."""
        if self._closed or threading.current_thread() is not self._owner:
            raise self._error('used after close() or outside of its thread')
        self._check(inputs)
        return len(inputs[self.inputs[0].name])

    def stage(self, inputs: Mapping[str, npt.NDArray]) -> PreparedBatch:
        """
        Put up to :attr:`max_batch` images where a run takes them from, and return that run.

        For :class:`~aitable_ros.inference.tensorrt.engine_group.EngineGroup`, which launches it.

        :raises InferenceError: as :meth:`infer`.
        """
        count = self.batch_of(inputs)
        with self.turn, self._failing('running failed'), self._device:
            return self._stage(inputs, count)

    def _thread_trouble(self, verb: str) -> InferenceError:
        return self._error(
            f'{verb} in thread {threading.current_thread().name}, but it belongs to'
            f' {self._owner.name}, which created it'
        )

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        count = len(inputs[self.inputs[0].name])
        step = self._max_batch
        with self._failing('running failed'), self._device:
            if count <= step:
                return self._run(inputs, count)
            pieces = [
                self._run(
                    {name: array[start : start + step] for name, array in inputs.items()},
                    min(step, count - start),
                )
                for start in range(0, count, step)
            ]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _run(self, inputs: Mapping[str, npt.NDArray], count: int) -> dict[str, npt.NDArray]:
        prepared = self._stage(inputs, count)
        prepared.launch()
        return self.collect(prepared, count)

    def _run_crops(
        self, image: npt.NDArray[np.uint8], maps: npt.NDArray[np.float64], replicate: bool
    ) -> dict[str, npt.NDArray]:
        assert self._crops is not None
        memory, count = self._memory, len(maps)
        prepared = self._prepare(count)
        size = memory.inputs[0].row_shape[:2]
        target, stream = memory.blocks[0].address, memory.stream
        sent = self._crops.enqueue(
            image, maps, (size[0], size[1]), target, stream, replicate=replicate
        )
        prepared.launch(sending=False)
        del sent
        return self.collect(prepared, count)

    def _stage(self, inputs: Mapping[str, npt.NDArray], count: int) -> PreparedBatch:
        prepared = self._prepare(count)
        for binding, buffer in zip(self._memory.inputs, prepared.inputs):
            binding.write(buffer[:count], inputs[binding.spec.name])
            if count < len(buffer):
                buffer[count:] = 0
        return prepared

    def collect(self, prepared: PreparedBatch, count: int) -> dict[str, npt.NDArray]:
        """Copy the first answers of a run that has ended, by output."""
        return {
            binding.spec.name: buffer[:count].copy()
            for binding, buffer in zip(self._memory.outputs, prepared.outputs)
        }

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turn errors of PyCUDA into ours, and name the engine in all of them."""
        errors = self._device.driver
        try:
            yield
        except InferenceError as error:
            raise self._error(f'{what}: {error}') from error
        except errors.MemoryError as error:
            raise self._error(f'{what}: not enough GPU memory: {error}') from error
        except errors.Error as error:
            raise self._error(f'{what}: {error}') from error

    def _prepare(self, count: int) -> PreparedBatch:
        """Return what runs a batch of this size, made now or before."""
        prepared = self._prepared.get(count)
        if prepared is not None:
            self._prepared.move_to_end(count)
            return prepared
        batches = min(
            (batches for batches in self._ranges if batches.max >= count),
            key=lambda batches: batches.max,
        )
        size = max(count, batches.min)
        if size not in self._prepared:
            if len(self._prepared) >= MAX_PREPARED_BATCHES:
                self._forget(next(iter(self._prepared)))
            try:
                self._make(size, batches.profile)
            except InferenceError as error:
                if not self._prepared:
                    raise
                # 8.x gives a profile to one context at a time, unless it was built to share.
                _log.debug('%s: batch %d displaces the others: %s', self, size, error)
                for other in tuple(self._prepared):
                    self._forget(other)
                self._make(size, batches.profile)
        self._prepared.move_to_end(size)
        return self._prepared[size]

    def _make(self, size: int, profile: int) -> None:
        self._prepared[size] = prepared = PreparedBatch(self._plan, self._memory)
        try:
            prepared.set_up(size, profile)
            # Also what TensorRT puts off until the first run would be missing in the record.
            prepared.enqueue()
            self._memory.stream.synchronize()
            if self._use_graphs and self._plan.runtime_config is None:
                self._record(prepared, size)
        except BaseException:
            self._forget(size)
            raise

    def _record(self, prepared: PreparedBatch, size: int) -> None:
        try:
            prepared.record()
        except (InferenceError, self._device.driver.Error) as error:
            self._use_graphs = False
            _log.warning(
                '%s: recording a CUDA graph for batch %d failed, so it runs step by step, which'
                ' takes longer: %s',
                self,
                size,
                error,
            )
            prepared.drop_graphs()
            prepared.enqueue()
        self._memory.stream.synchronize()

    def _forget(self, size: int) -> None:
        self._prepared.pop(size).close()

    def _close(self) -> None:
        driver = self._device.driver
        try:
            with self._device:
                for free in self._in_order():
                    try:
                        free()
                    except (InferenceError, driver.Error) as error:
                        _log.warning('%s: could not be freed entirely: %s', self, error)
                    del free  # which may be the last to hold the stream
        except driver.Error as error:
            _log.warning('%s: could not be freed, the device fails: %s', self, error)

    def _in_order(self) -> Iterator[Callable[[], Any]]:
        """Yield what frees each thing held, users before what they use."""
        if self._memory.stream is not None:
            yield self._memory.stream.synchronize
        while self._prepared:
            yield self._prepared.popitem()[1].close
        if self._crops is not None:
            crops, self._crops = self._crops, None
            yield from crops.in_order()
        self._plan.free()
        yield from self._memory.in_order()
