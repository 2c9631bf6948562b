# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks that may not be needed: let go, and loaded again when they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy.typing as npt

from aitable_ros.inference.engine import Engine
from aitable_ros.inference.free_memory import return_free_memory
from aitable_ros.inference.selection import Selection

QUICK = ('litert', 'ncnn', 'onnxruntime')
"""Backends that load within the time of a few images."""


class OnDemandEngine(Engine):
    """
    A network that can be let go.

    :param engine: the loaded network.
    :param load: loads it again.
    """

    def __init__(self, engine: Engine, load: Callable[[], Engine]) -> None:
        self.backend = engine.backend
        self.name, self.path = engine.name, engine.path
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._closed = False
        self._load = load
        self._engine: Engine | None = engine

    @property
    def held(self) -> bool:
        """Whether the network is in memory."""
        return self._engine is not None

    def release(self) -> None:
        """Let its memory go until the next run; in the thread that uses it."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
            del engine
            return_free_memory()

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        if self._engine is None:
            self._engine = self._load()
        return self._engine.infer(inputs)

    def _close(self) -> None:
        self.release()


def on_demand(selection: Selection, load: Callable[[], Selection]) -> Selection:
    """
    Return a selection whose network can be let go, where loading is quick.

    :param selection: the loaded one.
    :param load: loads the same once more.
    """
    if selection.backend not in QUICK:
        return selection
    return replace(selection, engine=OnDemandEngine(selection.engine, lambda: load().engine))
