# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks on TensorRT 8.5 to 11, from engine files (plans), replayed as CUDA graphs."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import logging
import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import DYNAMIC, Engine, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt.cuda import (
    NON_BLOCKING,
    CudaDevice,
    CudaGraph,
    MemoryBlock,
    open_device,
)
from aitable_ros.inference.tensorrt.runtime import (
    DTYPES,
    create_runtime,
    explain_refusal,
    load_tensorrt,
    log_of,
    plan_of_file,
)
from aitable_ros.inference.tensorrt.tensors import (
    ALIGNMENT,
    BatchRange,
    EngineTensor,
    bind_tensors,
)

MAX_PREPARED_BATCHES = 8
"""Batch sizes for which an execution context and its graph are kept; the oldest gives way."""

_EXIT_WAIT_S = 5.0
_MIB = 2**20

_log = logging.getLogger(__name__)

_open_engines: weakref.WeakSet[TensorRtEngine] = weakref.WeakSet()
_exit_gate = threading.RLock()


def _stop_for_exit() -> None:
    """
    Wait for runs under way, and let no other thread begin one.

    Python ends daemon threads where they next ask for its lock. When that is on the way back
    from a CUDA call, through frames of C++, the whole process aborts.
    """
    _exit_gate.acquire()
    for engine in tuple(_open_engines):
        engine._turn.lock.acquire(timeout=_EXIT_WAIT_S)


class _Turn:
    """Held by an engine's thread while it works; see :func:`_stop_for_exit`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def __enter__(self) -> None:
        with _exit_gate:
            self.lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.lock.release()


@functools.cache
def _stop_at_exit() -> None:
    atexit.register(_stop_for_exit)


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
    on the host, which takes longer, as does copying four times the bytes:
    :attr:`scales_on_host`.

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
    :param allow_host_code: let the plan bring code that runs in this process, as
        version-compatible plans do. Only for files from a trusted source: it is as good as
        running a program from there.
    :raises InferenceError: when TensorRT, PyCUDA or the device are missing, or the file is
        missing, damaged, of another network, TensorRT or GPU, needs more GPU memory than there
        is, or carries host code that is not allowed.
    """

    backend = 'tensorrt'

    def __init__(
        self,
        spec: ModelSpec,
        path: Path,
        *,
        device: int = 0,
        cuda_graph: bool = True,
        mapped_memory: bool = False,
        allow_host_code: bool = False,
    ) -> None:
        super().__init__(spec.name, Path(path), spec.inputs, spec.outputs)
        self._owner = threading.current_thread()
        self._turn = _Turn()
        self._map_memory = mapped_memory
        _stop_at_exit()
        with self._turn:
            _open_engines.add(self)
            self._open(spec, device, cuda_graph, allow_host_code)

    def _open(self, spec: ModelSpec, device: int, cuda_graph: bool, allow_host_code: bool) -> None:
        self._use_graphs = cuda_graph
        # All that lives on the GPU is held here alone: a local variable would live on in the
        # traceback of an error and be freed whenever that goes.
        self._runtime: Any = None
        self._engine: Any = None
        self._stream: Any = None
        self._workspace: Any = None
        self._blocks: list[MemoryBlock] = []
        self._prepared: OrderedDict[int, _PreparedBatch] = OrderedDict()
        try:
            self._trt = load_tensorrt()
            self._trt_log = log_of(self._trt)
            plan = self._read()
            self._device: CudaDevice = open_device(device)
        except InferenceError as error:
            self._closed = True
            raise InferenceError(f'{self}: {error}') from error
        try:
            with self._failing('cannot be loaded'), self._device:
                self._load(plan, allow_host_code)
                self._tensors = tuple(self._list_tensors())
                if spec.is_open:
                    spec = dataclasses.replace(
                        spec, inputs=self._own(is_input=True), outputs=self._own(is_input=False)
                    )
                    self.inputs, self.outputs = spec.inputs, spec.outputs
                self._input_bindings, self._output_bindings = bind_tensors(spec, self._tensors)
                self._ranges = tuple(self._list_batch_ranges())
                self._allocate()
                self._prepare(min(batches.min for batches in self._ranges))
        except BaseException:
            self._closed = True
            self._close()
            raise

    def __enter__(self) -> TensorRtEngine:
        """Return the engine itself."""
        return self

    @property
    def max_batch(self) -> int:
        """The largest batch that runs in one piece."""
        return self._max_batch

    @property
    def batch_ranges(self) -> tuple[BatchRange, ...]:
        """What each optimisation profile takes; of a static engine, one batch size."""
        return self._ranges

    @property
    def uses_cuda_graph(self) -> bool:
        """Whether runs are launched as CUDA graphs; False also after recording failed."""
        return self._use_graphs

    @property
    def scales_on_host(self) -> bool:
        """Whether the engine's image input is float32, so that the host scales the pixels."""
        return any(binding.dtype != binding.spec.dtype for binding in self._input_bindings)

    @property
    def device_memory_bytes(self) -> int:
        """GPU memory for tensors and activations, allocated once; the weights come on top."""
        blocks = sum(block.nbytes for block in self._blocks if not block.mapped)
        return self._workspace_bytes + blocks

    @property
    def tensorrt_version(self) -> str:
        """Version of the TensorRT that runs the engine."""
        return str(self._trt.__version__)

    def engine_tensors(self) -> tuple[EngineTensor, ...]:
        """Return the tensors as the file has them."""
        return self._tensors

    def infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        """See :meth:`Engine.infer`; raises InferenceError in any thread but the owner."""
        if threading.current_thread() is not self._owner:
            raise InferenceError(f'{self}: {self._thread_trouble("used")}')
        with self._turn:
            return super().infer(inputs)

    def close(self) -> None:
        """
        Free what the engine holds; calling it again does nothing.

        :raises InferenceError: in another thread than the owner, as long as that one runs.
        """
        if self._closed:
            return
        if threading.current_thread() is not self._owner and self._owner.is_alive():
            raise InferenceError(f'{self}: {self._thread_trouble("closed")}')
        with self._turn:
            super().close()

    def replay(self, batch: int = 1) -> None:
        """
        Run once more on what the pinned memory holds, and leave the outputs there.

        This is what remains of a call to :meth:`infer` without the host's part: for benchmarks.

        :param batch: number of images, up to :attr:`max_batch`.
        :raises InferenceError: as :meth:`infer`.
        """
        if self._closed or threading.current_thread() is not self._owner:
            raise InferenceError(f'{self}: used after close() or outside of its thread')
        if not 1 <= batch <= self.max_batch:
            raise InferenceError(f'{self}: expected 1..{self.max_batch} images, got {batch}')
        with self._turn, self._failing('running failed'), self._device:
            self._launch(self._prepare(batch))

    def _thread_trouble(self, verb: str) -> str:
        return (
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
        prepared = self._prepare(count)
        for binding, buffer in zip(self._input_bindings, prepared.inputs):
            binding.write(buffer[:count], inputs[binding.spec.name])
            if count < len(buffer):
                buffer[count:] = 0
        self._launch(prepared)
        return {
            binding.spec.name: buffer[:count].copy()
            for binding, buffer in zip(self._output_bindings, prepared.outputs)
        }

    def _launch(self, prepared: _PreparedBatch) -> None:
        if prepared.graph is None:
            prepared.enqueue()
        else:
            prepared.graph.launch()
        self._stream.synchronize()

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turn errors of PyCUDA into ours, and name the engine in all of them."""
        errors = self._device.driver
        try:
            yield
        except InferenceError as error:
            raise InferenceError(f'{self}: {what}: {error}') from error
        except errors.MemoryError as error:
            raise InferenceError(f'{self}: {what}: not enough GPU memory: {error}') from error
        except errors.Error as error:
            raise InferenceError(f'{self}: {what}: {error}') from error

    def _read(self) -> bytes:
        try:
            return plan_of_file(self.path.read_bytes())
        except OSError as error:
            reason = error.strerror or error
            raise InferenceError(f'{self.path} cannot be read: {reason}') from error

    def _load(self, plan: bytes, allow_host_code: bool) -> None:
        if not plan:
            raise InferenceError(f'{self.path} is empty')
        self._runtime = create_runtime(self._trt, self._trt_log)
        if allow_host_code and hasattr(self._runtime, 'engine_host_code_allowed'):
            self._runtime.engine_host_code_allowed = True
        mark = self._trt_log.mark()
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            said = self._trt_log.quote(mark)
            raise InferenceError(
                f'{self.path}: {explain_refusal(plan, said)} [TensorRT {self.tensorrt_version};'
                f' {self._device}; {said}]'
            )
        if getattr(self._engine, 'has_implicit_batch_dimension', False):
            raise InferenceError('it was built with an implicit batch dimension; rebuild it')

    def _own(self, *, is_input: bool) -> tuple[TensorSpec, ...]:
        """Return the file's inputs or outputs, for a spec without tensors."""
        specs = []
        for tensor in self._tensors:
            if tensor.is_input == is_input:
                dtype = DTYPES.get(tensor.dtype)
                if dtype is None:
                    raise InferenceError(f'tensor {tensor} is of a type that is not supported')
                specs.append(TensorSpec(tensor.name, tensor.shape, np.dtype(dtype)))
        return tuple(specs)

    def _list_tensors(self) -> Iterator[EngineTensor]:
        engine, trt = self._engine, self._trt
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            tensor = EngineTensor(
                name=name,
                is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                shape=tuple(engine.get_tensor_shape(name)),
                dtype=engine.get_tensor_dtype(name).name,
            )
            if engine.is_shape_inference_io(name):
                raise InferenceError(f'tensor {tensor} is a shape that the host must give')
            if engine.get_tensor_vectorized_dim(name) != -1:
                raise InferenceError(f'tensor {tensor} has a vectorised memory format')
            yield tensor

    def _list_batch_ranges(self) -> Iterator[BatchRange]:
        engine = self._engine
        shapes = {tensor.name: tensor.shape for tensor in self._tensors}
        static = all(DYNAMIC not in shapes[binding.name] for binding in self._input_bindings)
        for profile in range(1 if static else engine.num_optimization_profiles):
            limits = []
            for binding in self._input_bindings:
                if static:
                    low = opt = high = shapes[binding.name]
                else:
                    low, opt, high = map(
                        tuple, engine.get_tensor_profile_shape(binding.name, profile)
                    )
                rows = zip(low[1:], binding.row_shape, high[1:])
                if all(least <= size <= most for least, size, most in rows):
                    limits.append((low[0], opt[0], high[0]))
            if len(limits) < len(self._input_bindings):
                continue
            low, opt, high = zip(*limits)
            if max(low) <= min(high):
                yield BatchRange(profile, max(low), min(opt), min(high))

    def _allocate(self) -> None:
        if not self._ranges:
            raise InferenceError(
                f'no optimisation profile of it takes {", ".join(map(str, self.inputs))}'
            )
        self._max_batch = max(batches.max for batches in self._ranges)
        driver = self._device.driver
        sizes = [
            sum(binding.nbytes(self.max_batch) for binding in bindings)
            for bindings in (self._input_bindings, self._output_bindings)
        ]
        self._workspace_bytes = max(_workspace_bytes(self._engine), ALIGNMENT)
        try:
            self._stream = driver.Stream(NON_BLOCKING)
            for size in sizes:
                self._blocks.append(MemoryBlock(driver, size, mapped=self._map_memory))
                self._blocks[-1].allocate()
            self._workspace = driver.mem_alloc(self._workspace_bytes)
        except driver.MemoryError as error:
            free, total = self._device.memory_bytes()
            needed = self._workspace_bytes + sum(sizes)
            raise InferenceError(
                f'not enough GPU memory: for batch {self.max_batch} it needs'
                f' {needed / _MIB:.1f} MiB, {free / _MIB:.0f} of {total / _MIB:.0f} MiB are'
                f' free ({error})'
            ) from error

    def _prepare(self, count: int) -> _PreparedBatch:
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
        self._prepared[size] = prepared = _PreparedBatch(self._enqueue)
        try:
            self._set_up(prepared, size, profile)
            # Also what TensorRT puts off until the first run would be missing in the record.
            prepared.enqueue()
            self._stream.synchronize()
            if self._use_graphs:
                self._record(prepared, size)
        except BaseException:
            self._forget(size)
            raise

    def _set_up(self, prepared: _PreparedBatch, size: int, profile: int) -> None:
        mark = self._trt_log.mark()

        def check(done: Any, what: str) -> None:
            if done is None or done is False:
                raise InferenceError(
                    f'{what} failed for batch {size}: {self._trt_log.quote(mark)}'
                )

        # One context per batch size, all on the same workspace: a graph refers to parameters
        # that its context keeps on the host and changes with the shape.
        prepared.context = _create_context(self._engine, self._trt)
        check(prepared.context, 'creating an execution context')
        prepared.context.device_memory = int(self._workspace)
        if prepared.context.active_optimization_profile != profile:
            check(
                prepared.context.set_optimization_profile_async(profile, self._stream.handle),
                f'choosing optimisation profile {profile}',
            )
        for binding in self._input_bindings:
            check(
                prepared.context.set_input_shape(binding.name, (size, *binding.row_shape)),
                f'setting the shape of {binding.name}',
            )
        for binding in self._output_bindings:
            shape = tuple(prepared.context.get_tensor_shape(binding.name))
            if shape[:1] != (size,) or math.prod(shape) != size * math.prod(binding.row_shape):
                raise InferenceError(
                    f'output {binding.spec}: got {list(shape)} from the engine for batch {size}'
                )
        both = ((self._input_bindings, prepared.inputs), (self._output_bindings, prepared.outputs))
        for block, (bindings, views) in zip(self._blocks, both):
            offset = 0
            for binding in bindings:
                check(
                    prepared.context.set_tensor_address(binding.name, block.address + offset),
                    f'setting the address of {binding.name}',
                )
                views.append(block.view(offset, (size, *binding.row_shape), binding.dtype))
                offset += binding.nbytes(size)
            prepared.used_bytes.append(offset)
        for view in prepared.inputs:
            view.fill(0)

    def _enqueue(self, prepared: _PreparedBatch) -> None:
        driver = self._device.driver
        source, target = self._blocks
        sent, received = prepared.used_bytes
        if not source.mapped:
            driver.memcpy_htod_async(source.address, source.host[:sent], self._stream)
        mark = self._trt_log.mark()
        if not prepared.context.execute_async_v3(self._stream.handle):
            raise InferenceError(f'execute_async_v3 failed: {self._trt_log.quote(mark)}')
        if not target.mapped:
            driver.memcpy_dtoh_async(target.host[:received], target.address, self._stream)

    def _record(self, prepared: _PreparedBatch, size: int) -> None:
        try:
            prepared.graph = CudaGraph(self._stream.handle, prepared.enqueue)
            prepared.graph.launch()
        except (InferenceError, self._device.driver.Error) as error:
            self._use_graphs = False
            _log.warning(
                '%s: recording a CUDA graph for batch %d failed, so it runs step by step, which'
                ' takes longer: %s',
                self,
                size,
                error,
            )
            prepared.drop_graph()
            prepared.enqueue()
        self._stream.synchronize()

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
        if self._stream is not None:
            yield self._stream.synchronize
        while self._prepared:
            yield self._prepared.popitem()[1].close
        self._engine = None
        self._runtime = None
        if self._workspace is not None:
            workspace, self._workspace = self._workspace, None
            yield workspace.free
        while self._blocks:
            yield from self._blocks.pop().in_order()
        self._stream = None


class _PreparedBatch:
    """
    What runs one batch size.

    :param enqueue: enqueues the copies and the run of the batch given, without waiting.
    """

    def __init__(self, enqueue: Callable[[_PreparedBatch], None]) -> None:
        self._enqueue = enqueue
        self.context: Any = None
        self.graph: CudaGraph | None = None
        self.inputs: list[npt.NDArray] = []
        self.outputs: list[npt.NDArray] = []
        self.used_bytes: list[int] = []

    def enqueue(self) -> None:
        """Enqueue the copies and the run, without waiting."""
        self._enqueue(self)

    def drop_graph(self) -> None:
        """Free the graph, if there is one."""
        if self.graph is not None:
            graph, self.graph = self.graph, None
            graph.close()

    def close(self) -> None:
        """Free the graph, then its context."""
        try:
            self.drop_graph()
        finally:
            self.context = None
            self.inputs.clear()
            self.outputs.clear()


def _create_context(engine: Any, trt: Any) -> Any:
    """Create an execution context that is given its workspace."""
    # The older name first here and below: a newer runtime reaches a version-compatible plan
    # through the plan's own, older one.
    if hasattr(engine, 'create_execution_context_without_device_memory'):  # until 10
        return engine.create_execution_context_without_device_memory()
    strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    return engine.create_execution_context(strategy)


def _workspace_bytes(engine: Any) -> int:
    """Return what the activations need in the profile that needs most."""
    if hasattr(engine, 'device_memory_size'):  # until 10
        return int(engine.device_memory_size)
    return int(engine.device_memory_size_v2)
