# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Several TensorRT engines launched as one CUDA graph, side by side on the GPU."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.cuda import CudaGraph
from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.inference.tensorrt.prepared_batch import PreparedBatch

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_GRAPHS = 8
"""Combinations of batch sizes for which a graph is kept; the oldest gives way."""

_log = logging.getLogger(__name__)


class EngineGroup:
    """
    Engines of one thread that run on inputs which are all there at the same time.

    One launch instead of one each, and the GPU works on all of them at once: small networks leave
    most of it idle. The record for a combination of batch sizes is made at its first use; where
    that fails, or a batch is larger than an engine takes in one piece, they run one after
    the other, and of a failure the log says so.

    :param engines: of this thread and one device; they stay the caller's: close them after this.
    :raises InferenceError: when they are of several devices, or one is there twice.
    """

    def __init__(self, engines: Sequence[TensorRtEngine]) -> None:
        self.engines = tuple(engines)
        devices = {id(engine.device) for engine in self.engines}
        if len(devices) != 1 or len(set(map(id, self.engines))) != len(self.engines):
            raise InferenceError('a group takes different engines of one CUDA device')
        self._device = self.engines[0].device
        self._graphs: dict[tuple[PreparedBatch, ...], CudaGraph] = {}
        self._use_graphs = all(engine.uses_cuda_graph for engine in self.engines)

    @property
    def uses_cuda_graph(self) -> bool:
        """Whether runs are launched as one CUDA graph; False also after recording failed."""
        return self._use_graphs

    def __enter__(self) -> Self:
        """Return the group."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def infer(self, inputs: Sequence[Mapping[str, npt.NDArray]]) -> list[dict[str, npt.NDArray]]:
        """
        Run all networks once.

        :param inputs: for each engine what :meth:`TensorRtEngine.infer` takes.
        :returns: for each engine what that gives.
        :raises InferenceError: as that; and for another number of inputs than engines.
        """
        if len(inputs) != len(self.engines):
            raise InferenceError(f'expected inputs of {len(self.engines)} engines')
        if not self._use_graphs or any(
            engine.batch_of(given) > engine.max_batch
            for engine, given in zip(self.engines, inputs)
        ):
            return [engine.infer(given) for engine, given in zip(self.engines, inputs)]
        staged = [engine.stage(given) for engine, given in zip(self.engines, inputs)]
        launched = self._launch(tuple(staged))
        if not launched:
            return [engine.infer(given) for engine, given in zip(self.engines, inputs)]
        return [
            engine.collect(prepared, engine.batch_of(given))
            for engine, prepared, given in zip(self.engines, staged, inputs)
        ]

    def close(self) -> None:
        """Free the graphs; calling it again does nothing. The engines stay open."""
        with self._device:
            for staged in tuple(self._graphs):
                self._forget(staged)

    def _launch(self, staged: tuple[PreparedBatch, ...]) -> bool:
        errors = self._device.driver.Error
        with contextlib.ExitStack() as stack:
            for engine in self.engines:
                stack.enter_context(engine.turn)
            stack.enter_context(self._device)
            try:
                graph = self._graphs.get(staged) or self._record(staged)
            except (InferenceError, errors) as error:
                self._use_graphs = False
                _log.warning(
                    '%s: recording one CUDA graph failed, so they run one after the other: %s',
                    ', '.join(map(str, self.engines)),
                    error,
                )
                return False
            try:
                graph.launch()
                staged[0].stream.synchronize()
            except errors as error:
                raise InferenceError(f'{self.engines[0]} and others failed: {error}') from error
        return True

    def _record(self, staged: tuple[PreparedBatch, ...]) -> CudaGraph:
        if len(self._graphs) >= MAX_GRAPHS:
            self._forget(next(iter(self._graphs)))
        driver = self._device.driver
        first, *others = staged
        begin = driver.Event(driver.event_flags.DISABLE_TIMING)
        ends = [driver.Event(driver.event_flags.DISABLE_TIMING) for _ in others]

        def fork_and_join() -> None:
            begin.record(first.stream)
            for prepared, end in zip(others, ends):
                stream: Any = prepared.stream
                stream.wait_for_event(begin)
                prepared.enqueue()
                end.record(stream)
            first.enqueue()
            for end in ends:
                first.stream.wait_for_event(end)

        graph = CudaGraph(first.stream.handle, fork_and_join)
        self._graphs[staged] = graph
        for prepared in staged:
            prepared.before_close[self, staged] = lambda: self._forget(staged)
        return graph

    def _forget(self, staged: tuple[PreparedBatch, ...]) -> None:
        for prepared in staged:
            prepared.before_close.pop((self, staged), None)
        if graph := self._graphs.pop(staged, None):
            graph.close()
