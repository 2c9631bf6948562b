# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What runs one batch size of a TensorRT engine, and the memory that all of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.cuda import NON_BLOCKING, CudaDevice, CudaGraph, MemoryBlock
from aitable_ros.inference.tensorrt.plan import LoadedPlan
from aitable_ros.inference.tensorrt.tensors import ALIGNMENT, Binding

_MIB = 2**20


class RunMemory:
    """
    A stream, the activations' workspace, and memory for all inputs and all outputs.

    They are held here alone, so that they are freed when :meth:`in_order` says so.

    :param device: the device whose memory it is.
    """

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self.inputs: tuple[Binding, ...] = ()
        self.outputs: tuple[Binding, ...] = ()
        self.stream: Any = None
        self.workspace: Any = None
        self.blocks: list[MemoryBlock] = []
        self._workspace_bytes = 0

    def allocate(
        self,
        inputs: tuple[Binding, ...],
        outputs: tuple[Binding, ...],
        max_batch: int,
        activations: int,
        *,
        mapped: bool,
    ) -> None:
        """
        Allocate it all for batches up to one size; needs a current CUDA context.

        :param activations: bytes that the activations need.
        :param mapped: let the GPU use the host's memory for inputs and outputs.
        :raises InferenceError: when there is too little; the message says how much is needed.
        """
        self.inputs, self.outputs = inputs, outputs
        driver = self.device.driver
        sizes = [
            sum(binding.nbytes(max_batch) for binding in bindings)
            for bindings in (inputs, outputs)
        ]
        self._workspace_bytes = max(activations, ALIGNMENT)
        try:
            self.stream = driver.Stream(NON_BLOCKING)
            for size in sizes:
                self.blocks.append(MemoryBlock(driver, size, mapped=mapped))
                self.blocks[-1].allocate()
            self.workspace = driver.mem_alloc(self._workspace_bytes)
        except driver.MemoryError as error:
            free, total = self.device.memory_bytes()
            needed = self._workspace_bytes + sum(sizes)
            raise InferenceError(
                f'not enough GPU memory: for batch {max_batch} it needs'
                f' {needed / _MIB:.1f} MiB, {free / _MIB:.0f} of {total / _MIB:.0f} MiB are'
                f' free ({error})'
            ) from error

    @property
    def device_bytes(self) -> int:
        """GPU memory for tensors and activations."""
        return self._workspace_bytes + sum(b.nbytes for b in self.blocks if not b.mapped)

    def in_order(self) -> Iterator[Callable[[], Any]]:
        """Yield what frees each thing held, the stream last."""
        if self.workspace is not None:
            workspace, self.workspace = self.workspace, None
            yield workspace.free
        while self.blocks:
            yield from self.blocks.pop().in_order()
        self.stream = None


class PreparedBatch:
    """
    An execution context for one batch size, and its graph where one was recorded.

    One context per batch size, all on the same workspace: a graph refers to parameters that its
    context keeps on the host and changes with the shape.

    :param plan: what it runs.
    :param memory: what it works on.
    """

    def __init__(self, plan: LoadedPlan, memory: RunMemory) -> None:
        self._plan = plan
        self._memory = memory
        self._context: Any = None
        self._graphs: dict[bool, CudaGraph] = {}
        self._recording = False
        self._used_bytes: list[int] = []
        self.inputs: list[npt.NDArray] = []
        self.outputs: list[npt.NDArray] = []
        self.before_close: dict[object, Callable[[], None]] = {}
        """Called by :meth:`close`: what frees other records of this run."""

    @property
    def stream(self) -> Any:
        """The stream that it runs on."""
        return self._memory.stream

    def set_up(self, size: int, profile: int) -> None:
        """
        Create the context, and give it shapes and addresses.

        :param size: the batch size.
        :param profile: the optimisation profile that takes it.
        :raises InferenceError: when TensorRT refuses a step; the message says which.
        """
        memory = self._memory
        log = self._plan.log
        mark = log.mark()

        def check(done: Any, what: str) -> None:
            if done is None or done is False:
                raise InferenceError(f'{what} failed for batch {size}: {log.quote(mark)}')

        self._context = _create_context(self._plan)
        check(self._context, 'creating an execution context')
        self._context.device_memory = int(memory.workspace)
        if self._context.active_optimization_profile != profile:
            check(
                self._context.set_optimization_profile_async(profile, memory.stream.handle),
                f'choosing optimisation profile {profile}',
            )
        for binding in memory.inputs:
            check(
                self._context.set_input_shape(binding.name, (size, *binding.row_shape)),
                f'setting the shape of {binding.name}',
            )
        for binding in memory.outputs:
            shape = tuple(self._context.get_tensor_shape(binding.name))
            if shape[:1] != (size,) or math.prod(shape) != size * math.prod(binding.row_shape):
                raise InferenceError(
                    f'output {binding.spec}: got {list(shape)} from the engine for batch {size}'
                )
        both = ((memory.inputs, self.inputs), (memory.outputs, self.outputs))
        for block, (bindings, views) in zip(memory.blocks, both):
            offset = 0
            for binding in bindings:
                check(
                    self._context.set_tensor_address(binding.name, block.address + offset),
                    f'setting the address of {binding.name}',
                )
                views.append(block.view(offset, (size, *binding.row_shape), binding.dtype))
                offset += binding.nbytes(size)
            self._used_bytes.append(offset)
        for view in self.inputs:
            view.fill(0)

    def enqueue(self, *, sending: bool = True) -> None:
        """
        Enqueue the copies and the run, without waiting; raises InferenceError if refused.

        :param sending: copy the inputs, too; otherwise they are on the GPU already.
        """
        driver = self._memory.device.driver
        source, target = self._memory.blocks
        sent, received = self._used_bytes
        if sending and not source.mapped:
            driver.memcpy_htod_async(source.address, source.host[:sent], self._memory.stream)
        mark = self._plan.log.mark()
        if not self._context.execute_async_v3(self._memory.stream.handle):
            raise InferenceError(f'execute_async_v3 failed: {self._plan.log.quote(mark)}')
        if not target.mapped:
            driver.memcpy_dtoh_async(target.host[:received], target.address, self._memory.stream)

    def record(self) -> None:
        """Record what :meth:`enqueue` does as a graph, and launch it once, without waiting."""
        self._recording = True
        self._graph(sending=True).launch()

    def launch(self, *, sending: bool = True) -> None:
        """Run it, by the graph if there is one, and wait until it is done."""
        if self._recording:
            self._graph(sending=sending).launch()
        else:
            self.enqueue(sending=sending)
        self._memory.stream.synchronize()

    def _graph(self, *, sending: bool) -> CudaGraph:
        if sending not in self._graphs:
            stream = self._memory.stream.handle
            self._graphs[sending] = CudaGraph(stream, lambda: self.enqueue(sending=sending))
        return self._graphs[sending]

    def drop_graphs(self) -> None:
        """Free the graphs, if there are any; from now on it runs step by step."""
        self._recording = False
        while self._graphs:
            self._graphs.popitem()[1].close()

    def close(self) -> None:
        """Free the graphs, then their context."""
        try:
            while self.before_close:
                self.before_close.popitem()[1]()
            self.drop_graphs()
        finally:
            self._context = None
            self.inputs.clear()
            self.outputs.clear()


def _create_context(plan: LoadedPlan) -> Any:
    """Create an execution context that is given its workspace."""
    engine = plan.engine
    if plan.runtime_config is not None:
        return engine.create_execution_context(runtime_config=plan.runtime_config)
    # The older name first here and below: a newer runtime reaches a version-compatible plan
    # through the plan's own, older one.
    if hasattr(engine, 'create_execution_context_without_device_memory'):  # until 10
        return engine.create_execution_context_without_device_memory()
    strategy = plan.trt.ExecutionContextAllocationStrategy.USER_MANAGED
    return engine.create_execution_context(strategy)


def workspace_bytes(engine: Any) -> int:
    """Return what the activations of TensorRT's engine need in the profile that needs most."""
    if hasattr(engine, 'device_memory_size'):  # until 10
        return int(engine.device_memory_size)
    return int(engine.device_memory_size_v2)
