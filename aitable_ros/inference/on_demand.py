# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Networks that may never be needed: loaded to see whether they can be, and again for use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy.typing as npt

from aitable_ros.inference.engine import Engine
from aitable_ros.inference.selection import Selection

QUICK = ('litert', 'ncnn', 'onnxruntime')
"""Backends that load within the time of a few images."""


class OnDemandEngine(Engine):
    """
    Holds a network's memory from its first run on.

    :param engine: the loaded network, which is closed here.
    :param load: loads it again.
    """

    def __init__(self, engine: Engine, load: Callable[[], Engine]) -> None:
        self.backend = engine.backend
        self.name, self.path = engine.name, engine.path
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._closed = False
        self._load = load
        self._engine: Engine | None = None
        engine.close()

    @property
    def held(self) -> bool:
        """Whether the network is in memory."""
        return self._engine is not None

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        if self._engine is None:
            self._engine = self._load()
        return self._engine.infer(inputs)

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()


def on_demand(selection: Selection, load: Callable[[], Selection]) -> Selection:
    """
    Return a selection whose network is held from its first run on, where loading is quick.

    :param selection: the loaded one.
    :param load: loads the same once more.
    """
    if selection.backend not in QUICK:
        return selection
    return replace(selection, engine=OnDemandEngine(selection.engine, lambda: load().engine))
