# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Choosing the backend of a network: the one asked for, or the first of its chain that loads."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aitable_ros.inference.engine import Engine, InferenceError, one_line
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.regular_files import file_sha256, read_json

AUTO = 'auto'

# what fetch_models makes of a network that comes as a TFLite file, and of one whose weights do
_TFLITE_FORMS = ('.tflite', '.onnx')
_CHECKPOINT_FORMS = ('.pth', '.onnx', '.ncnn')


class NoBackendError(InferenceError):
    """No backend of a chain could be loaded; message and ``skipped`` give each one's reason."""

    def __init__(self, message: str, skipped: Sequence[Skipped] = ()) -> None:
        super().__init__(message)
        self.skipped = tuple(skipped)


@dataclass(frozen=True)
class Backend:
    """
    How the engines of one backend are made.

    :param module: module that defines the engine class; imported on first use.
    :param engine: the class, called as ``engine(spec, path, threads=n)``, or, where there is a
        ``gate``, with the settings that it gives.
    :param suffix: ending of its model files, with the dot.
    :param runtimes: top-level modules of which one must be installed.
    :param install: what installs the runtime, for the message when none is.
    :param gate: module that finds out, before the runtime is imported, why the backend cannot
        run a network, how its engine is to be made, and with which command its file: see
        :mod:`aitable_ros.inference.tensorrt.gate`. Empty: nothing but what is above is checked.
    """

    module: str
    engine: str
    suffix: str
    runtimes: tuple[str, ...]
    install: str
    gate: str = ''


BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        'litert': Backend(
            module='aitable_ros.inference.litert_engine',
            engine='LitertEngine',
            suffix='.tflite',
            runtimes=('ai_edge_litert', 'tflite_runtime'),
            install='pip install ai-edge-litert',
        ),
        'onnxruntime': Backend(
            module='aitable_ros.inference.onnxruntime_engine',
            engine='OnnxRuntimeEngine',
            suffix='.onnx',
            runtimes=('onnxruntime',),
            install='pip install onnxruntime',
        ),
        'tensorrt': Backend(
            module='aitable_ros.inference.tensorrt.engine',
            engine='TensorRtEngine',
            suffix='.engine',
            runtimes=('tensorrt', 'tensorrt_lean', 'tensorrt_lean_bindings'),
            install='part of JetPack; elsewhere pip install tensorrt',
            gate='aitable_ros.inference.tensorrt.gate',
        ),
        'tensorrt_rtx': Backend(
            module='aitable_ros.inference.tensorrt.rtx_engine',
            engine='TensorRtRtxEngine',
            suffix='.rtx',
            runtimes=('tensorrt_rtx', 'tensorrt_rtx_bindings'),
            install='pip install tensorrt-rtx-cu13, for desktop RTX cards',
            gate='aitable_ros.inference.tensorrt.rtx_gate',
        ),
        'ncnn': Backend(
            module='aitable_ros.inference.ncnn_engine',
            engine='NcnnEngine',
            suffix='.ncnn',
            runtimes=('ncnn',),
            install='pip install ncnn',
        ),
        'pytorch': Backend(
            module='aitable_ros.inference.pytorch_engine',
            engine='PyTorchEngine',
            suffix='.pth',
            runtimes=('torch',),
            install='pip install torch',
        ),
    }
)
"""Every backend that can be named in config/models.yaml and in ``backend`` parameters."""


@dataclass(frozen=True)
class Skipped:
    """
    A backend that was tried and passed over.

    :param backend: its name.
    :param reason: why, in one line.
    """

    backend: str
    reason: str

    def __str__(self) -> str:
        """Format as ``tensorrt: module tensorrt is not installed``."""
        return f'{self.backend}: {self.reason}'


def list_skipped(skipped: Iterable[Skipped]) -> str:
    """Say why each was passed over, and what holds for several, as of no GPU, once."""
    names: dict[str, list[str]] = {}
    for one in skipped:
        names.setdefault(one.reason, []).append(one.backend)
    return '; '.join(f'{", ".join(backends)}: {reason}' for reason, backends in names.items())


@dataclass(frozen=True)
class Selection:
    """
    The engine that runs a network, and how it came to be that one.

    :param engine: the loaded engine; whoever holds the selection closes it.
    :param backend: name of its backend.
    :param path: the file it was loaded from.
    :param skipped: backends tried before it, in order; empty when the first one loaded.
    :param is_known: whether a record says which file it has to be; a file that the user named
        is known, too.
    """

    engine: Engine
    backend: str
    path: Path
    skipped: tuple[Skipped, ...] = ()
    is_known: bool = True

    def explain(self) -> str:
        """Say in one line what runs from which file, and why each earlier backend does not."""
        line = f'{self.engine.name} runs on {self.backend} ({self.path})'
        if self.skipped:
            line += f'; skipped: {list_skipped(self.skipped)}'
        return line

    @property
    def doubt(self) -> str:
        """What speaks against the file, for diagnostics; empty: nothing."""
        return '' if self.is_known else f'{self.path.name} has no record: it may be any network'


Load = Callable[[Sequence[str]], Sequence[Selection]]
"""
Loads networks by their names in the catalog: all of them, in their order, or raises
InferenceError and leaves none open.
"""


@contextmanager
def opened(load: Load, names: Sequence[str]) -> Iterator[Sequence[Selection]]:
    """
    Load networks, and close them again when the block raises.

    For what is built from them, and may not be possible.
    """
    selections = load(names)
    try:
        yield selections
    except BaseException:
        close_all(selections)
        raise


def close_all(selections: Iterable[Selection]) -> None:
    """Close the engines, in the thread that loaded them."""
    for selection in selections:
        selection.engine.close()


def describe(selections: Iterable[Selection]) -> str:
    """Say what runs, for messages: ``face_detection: litert, face_mesh: litert``."""
    return ', '.join(f'{one.engine.name}: {one.backend}' for one in selections)


def load_engine(
    spec: ModelSpec,
    backend: str = AUTO,
    *,
    engines_dir: Path,
    threads: int = 1,
    damaged: Mapping[str, str] = MappingProxyType({}),
) -> Selection:
    """
    Load a network on the backend asked for, or on the first of its chain that works.

    Call it in the thread that will use the engine.

    :param spec: the network; ``spec.chain`` is what ``auto`` walks.
    :param backend: ``auto``, or a name from :data:`BACKENDS`, which is then the only one tried
        (it need not be in the chain).
    :param engines_dir: folder of the model files, ``<spec.name><suffix>``. Where fetch_models
        left a ``<spec.name>.json`` beside them, the file's sha256 must be the one it gives.
    :param threads: threads for backends on the CPU.
    :param damaged: files of this folder that must not be used, by name, and why.
    :raises InferenceError: when the backend is unknown, or is named and does not load.
    :raises NoBackendError: when ``auto`` finds none; it lists the reason of each.
    """
    if backend != AUTO:
        engine, reason = _try(spec, backend, engines_dir, threads, damaged)
        if engine is None:
            raise InferenceError(f'{spec.name} cannot run on {backend}: {reason}')
        return Selection(engine, backend, engine.path, is_known=_is_known(spec, engine.path))
    skipped: list[Skipped] = []
    for name in spec.chain:
        engine, reason = _try(spec, name, engines_dir, threads, damaged)
        if engine is not None:
            known = _is_known(spec, engine.path)
            return Selection(engine, name, engine.path, tuple(skipped), known)
        skipped.append(Skipped(name, reason))
    reasons = list_skipped(skipped) or 'its chain of backends is empty'
    raise NoBackendError(f'{spec.name} has no working backend: {reasons}', skipped)


def _try(
    spec: ModelSpec, name: str, engines_dir: Path, threads: int, damaged: Mapping[str, str]
) -> tuple[Engine | None, str]:
    """Return the engine, or None and the reason in one line."""
    backend = BACKENDS.get(name)
    if backend is None:
        raise InferenceError(
            f'{spec.name}: unknown backend {name!r}; expected {AUTO}, {", ".join(BACKENDS)}'
        )
    gate: Any = importlib.import_module(backend.gate) if backend.gate else None
    if gate and (absence := gate.absence()):
        return None, absence
    if not any(importlib.util.find_spec(runtime) for runtime in backend.runtimes):
        modules = ' or '.join(backend.runtimes)
        return None, f'module {modules} is not installed ({backend.install})'
    path = engines_dir / f'{spec.name}{backend.suffix}'
    try:
        is_there = path.is_file()
    except OSError as error:  # as of a folder that this user may not enter
        return None, f'{path} cannot be read: {error.strerror or error}'
    if not is_there:
        return None, f'{path} is missing ({_how_to_get(spec, backend, engines_dir)})'
    if path.name in damaged:
        return None, f'{path} {damaged[path.name]} ({_how_to_get(spec, backend, engines_dir)})'
    try:
        settings = gate.settings(spec, path) if gate else {'threads': threads}
        if _differs_from_sidecar(path):
            return None, (
                f'{path} is damaged: its sha256 is not the one in {spec.name}.json'
                f' ({_how_to_get(spec, backend, engines_dir)})'
            )
        factory: Callable[..., Engine] = getattr(
            importlib.import_module(backend.module), backend.engine
        )
        return factory(spec, path, **settings), ''
    except InferenceError as error:
        reason = one_line(error)
        return None, gate.advice(spec, path, reason) if gate else reason
    except Exception as error:  # a runtime that breaks in its own way must not end the chain
        return None, one_line(f'{path}: {type(error).__name__}: {error}')


def _how_to_get(spec: ModelSpec, backend: Backend, engines_dir: Path) -> str:
    """Return the command that makes the file, or why there is none."""
    if backend.gate:
        gate: Any = importlib.import_module(backend.gate)
        command: str = gate.build_command(spec.name, engines_dir, brought=spec.is_open)
        return command
    if spec.is_open:
        return 'a network of your own: put its file there'
    forms = _TFLITE_FORMS if spec.tflite_outputs else _CHECKPOINT_FORMS
    if backend.suffix not in forms:
        return f'{spec.name} comes as {" and ".join(forms)} alone'
    folder = shlex.quote(str(engines_dir))
    return f'python3 -m aitable_ros.tools.fetch_models {spec.name} --engines-dir {folder}'


def _is_known(spec: ModelSpec, path: Path) -> bool:
    own_record = path.with_name(f'{path.name}.json')  # as of an .engine
    recorded = _recorded_sha256(path.with_suffix('.json'), path.name)
    return spec.is_open or recorded is not None or own_record.is_file()


def _differs_from_sidecar(path: Path) -> bool:
    sidecar = path.with_suffix('.json')
    recorded = _recorded_sha256(sidecar, path.name)
    if recorded is None or file_sha256(path) == recorded:
        return False
    # not damage, where the files were being replaced while we looked
    return _recorded_sha256(sidecar, path.name) == recorded


def _recorded_sha256(sidecar: Path, file_name: str) -> str | None:
    try:
        record: Any = read_json(sidecar)
        sha256 = record['files'][file_name]['sha256']
    except (OSError, ValueError, LookupError, TypeError):
        return None  # without a usable record there is nothing to compare with
    return sha256 if isinstance(sha256, str) else None
