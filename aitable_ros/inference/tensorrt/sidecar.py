# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The record beside a TensorRT engine file: what it was built from, by what, and for which GPU.

An engine file (a plan) works only with the TensorRT and on the GPU that it was built with. It
says so only after TensorRT has been loaded, and not always clearly; the record says it at once.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitable_ros.regular_files import read_text

FORMAT = 1
"""Version of the record's layout."""


@dataclass(frozen=True)
class Gpu:
    """
    A kind of GPU.

    :param name: the driver's name for it, as ``NVIDIA H200`` or ``Orin``.
    :param compute_capability: as ``9.0``.
    :param multiprocessors: their number: all Orin modules have the same name.
    """

    name: str
    compute_capability: str
    multiprocessors: int

    def __str__(self) -> str:
        """Format as ``Orin (compute capability 8.7, 8 multiprocessors)``."""
        return (
            f'{self.name} (compute capability {self.compute_capability},'
            f' {self.multiprocessors} multiprocessors)'
        )


@dataclass(frozen=True)
class EngineSidecar:
    """
    What is recorded beside an engine file.

    :param model: the model's name.
    :param key: digest of all that decides what the build gives; see
        :func:`aitable_ros.model_zoo.engine_building.engine_builder.engine_key`.
    :param engine_sha256: of the engine file.
    :param engine_size: of the engine file, in bytes.
    :param onnx_sha256: of the ONNX model that it was built from, as it was given to TensorRT
        or, where precision is part of the graph, before that was put in.
    :param onnx_source: where that model came from.
    :param tensorrt: version of TensorRT.
    :param gpu: the GPU; None: any of ``targets``.
    :param precision: ``fp32``, ``fp16`` or ``int8``.
    :param inputs: the network's inputs, as ``image uint8[N,192,192,3]``.
    :param outputs: its outputs.
    :param batches: smallest, preferred and largest batch of each optimisation profile.
    :param version_compatible: whether newer TensorRT versions can run it; it then carries code.
    :param options: the builder's other settings, by their command-line names.
    :param flags: builder flags that were set, by TensorRT's names.
    :param fp32_layers: layers held in FP32 although the engine is of lower precision.
    :param build_seconds: how long TensorRT took.
    :param built_at: date and time, ISO 8601.
    :param targets: of TensorRT-RTX, the compute capabilities that run it, as ``8.6``.
    """

    model: str
    key: str
    engine_sha256: str
    engine_size: int
    onnx_sha256: str
    onnx_source: str
    tensorrt: str
    gpu: Gpu | None
    precision: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batches: tuple[tuple[int, int, int], ...]
    version_compatible: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    fp32_layers: tuple[str, ...] = ()
    build_seconds: float = 0.0
    built_at: str = ''
    targets: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps({'format': FORMAT, **dataclasses.asdict(self)}, indent=2) + '\n'

    @classmethod
    def from_json(cls, text: str) -> EngineSidecar:
        """
        Read the file's text.

        :raises ValueError: when it is not such a record.
        """
        try:
            values = json.loads(text)
            if not isinstance(values, dict) or values.pop('format', None) != FORMAT:
                raise ValueError('not a record of this format')
            known = {entry.name for entry in dataclasses.fields(cls)}
            values = {key: value for key, value in values.items() if key in known}
            if values['gpu'] is not None:
                values['gpu'] = Gpu(**values['gpu'])
            values['batches'] = tuple(tuple(map(int, batch)) for batch in values['batches'])
            for name in ('inputs', 'outputs', 'flags', 'fp32_layers', 'targets'):
                values[name] = tuple(map(str, values.get(name, ())))
            record = cls(**values)
        except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f'not a record of an engine: {error}') from error
        for kind, entries in (
            (str, ('model', 'key', 'engine_sha256', 'tensorrt', 'precision')),
            (str, ('onnx_sha256', 'onnx_source')),
            (int, ('engine_size', 'version_compatible')),
        ):
            for entry in entries:
                if not isinstance(getattr(record, entry), kind):
                    raise ValueError(f'{entry} is not of type {kind.__name__}')
        return record


def sidecar_path(engine: Path) -> Path:
    """Return where the record of an engine file lies: ``face_mesh.engine.json``."""
    return engine.with_name(f'{engine.name}.json')


def read_sidecar(engine: Path) -> EngineSidecar | None:
    """Return the record of an engine file; None where there is none, or none that is readable."""
    try:
        return EngineSidecar.from_json(read_text(sidecar_path(engine)))
    except (OSError, ValueError):
        return None
