# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
EmoNet's weights to ONNX and ncnn: written, checked against PyTorch, stored with a record.

The graph is written from the weights and not traced from the PyTorch module, because much of the
network folds together: a batch norm into the convolution before it, and the landmark heatmaps,
of which only linear functions are needed, into the convolutions around them. What is left of
them are the batch norms before a ReLU, which every runtime fuses with it.

PyTorch is needed to read the weights and to check the result; it is imported when that is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from aitable_ros import __version__
from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.emonet.contract import (
    ATTRIBUTION,
    INPUT_SIZE_PX,
    LICENCE,
    LICENCE_NOTE,
    LICENCE_URL,
    emonet_spec,
)
from aitable_ros.model_zoo.emonet.onnx_writer import PRODUCER, TO_NCHW, build_onnx
from aitable_ros.model_zoo.files import (
    ModelFilesError,
    Report,
    locked,
    megabytes,
    print_report,
    write_atomically,
)

if TYPE_CHECKING:
    from aitable_ros.model_zoo.emonet.network import EmoNet


CHECKED_BATCHES = (1, 3, 8)
"""Batch sizes with which an export is compared with PyTorch."""

MAX_RELATIVE_DIFFERENCE = 1e-4
"""Largest accepted difference to PyTorch, relative to the largest value of that output."""

_TOOLS = ('torch', 'onnx', 'onnxruntime', 'ncnn', 'numpy')


@dataclass(frozen=True)
class EmoNetExport:
    """
    The files of an exported EmoNet.

    :param weights: the checkpoint, as the PyTorch backend takes it.
    :param onnx: the ONNX file.
    :param ncnn: the file of the ncnn backend; None where ncnn is not installed.
    :param record: JSON with source, licence, tools, and the SHA-256 of each file.
    :param classes: 8 or 5.
    :param sha256: of each file, by its name, in hex.
    :param max_relative_difference: largest difference to PyTorch that the check found in any of
        the files, relative to the largest value of that output.
    """

    weights: Path
    onnx: Path
    ncnn: Path | None
    record: Path
    classes: int
    sha256: Mapping[str, str]
    max_relative_difference: float


def export_emonet(
    checkpoint: str | Path,
    engines_dir: Path,
    *,
    name: str = 'emonet',
    classes: int | None = None,
    threads: int = 1,
    progress: Report = print_report,
) -> EmoNetExport:
    """
    Put EmoNet into the engines folder: checkpoint, ONNX file, ncnn file and record.

    Nothing is stored unless the ONNX file gives what PyTorch gives (:func:`largest_difference`).
    The record is removed before the files change and written after, so that files with a
    matching record are whole, at any time and for other processes too. Where ncnn is not
    installed or fails the same check, its file is left out, which is said, and one from an
    earlier export is removed.

    :param checkpoint: the weights, for instance ``emonet_8.pth``.
    :param engines_dir: the folder; made where it does not exist.
    :param name: the model's name: ``<name>.pth``, ``.onnx``, ``.ncnn``, ``.json``.
    :param classes: how many classes the checkpoint must have; None for 8 or 5.
    :param threads: threads of the check.
    :param progress: takes one line for each step.
    :raises ModelFilesError: when PyTorch or ONNX Runtime is missing, the checkpoint is not one
        of EmoNet, the check fails, or the folder cannot be written.
    """
    try:
        from aitable_ros.model_zoo.emonet.network import EmoNetWeightsError, load_emonet
    except ImportError as error:
        raise ModelFilesError(
            f'exporting EmoNet needs PyTorch, which cannot be imported: {error}'
            ' (pip install torch); what runs the exported files does not need it'
        ) from error
    try:
        loaded = load_emonet(checkpoint, classes=classes)
    except EmoNetWeightsError as error:
        raise ModelFilesError(str(error)) from error
    model = loaded.model
    progress(f'{checkpoint}: EmoNet with {model.classes} classes, sha256 {loaded.sha256[:12]}')

    spec = emonet_spec(model.classes, name=name)
    files = {f'{name}.pth': loaded.content}
    try:
        converted, difference = _convert(model, spec, loaded.sha256, threads, progress)
    except (InferenceError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelFilesError(f'{checkpoint}: could not be exported: {error}') from error
    files.update(converted)
    record_path = engines_dir / f'{name}.json'
    record = _record(Path(checkpoint).name, name, model.classes, files, difference)
    try:
        with locked(engines_dir, progress):
            record_path.unlink(missing_ok=True)
            if f'{name}.ncnn' not in files:
                (engines_dir / f'{name}.ncnn').unlink(missing_ok=True)
            for file_name, data in files.items():
                write_atomically(engines_dir / file_name, data)
            write_atomically(record_path, (json.dumps(record, indent=2) + '\n').encode())
    except OSError as error:
        raise ModelFilesError(
            f'the engines folder {engines_dir} cannot be written: {error.strerror or error}'
        ) from error
    return EmoNetExport(
        weights=engines_dir / f'{name}.pth',
        onnx=engines_dir / f'{name}.onnx',
        ncnn=engines_dir / f'{name}.ncnn' if f'{name}.ncnn' in files else None,
        record=record_path,
        classes=model.classes,
        sha256={file: entry['sha256'] for file, entry in record['files'].items()},
        max_relative_difference=difference,
    )


def _convert(
    model: EmoNet, spec: ModelSpec, weights_sha256: str, threads: int, progress: Report
) -> tuple[dict[str, bytes], float]:
    """Return the converted files, checked, and the largest difference of any of them."""
    from aitable_ros.inference.ncnn_engine import NcnnEngine
    from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
    from aitable_ros.model_zoo.conversion.onnx_to_ncnn import convert

    weights = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    graph = build_onnx(weights, spec, weights_sha256=weights_sha256)
    images = _check_images(max(CHECKED_BATCHES))
    expected = _run_module(model, spec, images)

    def check(engine_class: Callable[..., Engine], file_name: str, content: bytes) -> float:
        started_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file_name
            path.write_bytes(content)
            with engine_class(spec, path, threads=threads) as engine:
                difference = largest_difference(engine, images, expected)
        progress(
            f'{file_name}: {megabytes(len(content))}, differs from PyTorch by {difference:.1e}'
            f' (checked in {time.monotonic() - started_s:.1f} s)'
        )
        return difference

    onnx_name, ncnn_name = f'{spec.name}.onnx', f'{spec.name}.ncnn'
    files = {onnx_name: graph.SerializeToString(deterministic=True)}
    largest = check(OnnxRuntimeEngine, onnx_name, files[onnx_name])
    if importlib.util.find_spec('ncnn') is None:
        progress(f'{ncnn_name} is not made: ncnn is not installed (pip install ncnn)')
        return files, largest
    try:
        content = convert(graph)
        largest = max(largest, check(NcnnEngine, ncnn_name, content))
        files[ncnn_name] = content
    except (InferenceError, ValueError) as error:
        progress(f'{ncnn_name} is not made: {error}')
    return files, largest


def largest_difference(
    engine: Engine, images: npt.NDArray[np.uint8], expected: Mapping[str, npt.NDArray]
) -> float:
    """
    Compare an engine's outputs with those expected, in batches of 1, 3 and 8.

    :param engine: takes ``image``.
    :param images: (8, H, W, 3) uint8.
    :param expected: by output, what it should give for these images, first dimension 8.
    :returns: the largest difference, relative to the largest value of that output.
    :raises InferenceError: when the engine fails, or the difference exceeds
        :data:`MAX_RELATIVE_DIFFERENCE`.
    """
    largest = 0.0
    for batch in CHECKED_BATCHES:
        outputs = engine.infer({'image': images[:batch]})
        for name, reference in expected.items():
            difference = float(np.abs(outputs[name] - reference[:batch]).max())
            relative = difference / float(np.abs(reference).max())
            if not relative <= MAX_RELATIVE_DIFFERENCE:  # NaN is not smaller
                raise InferenceError(
                    f'{engine}: output {name} of batch {batch} differs from PyTorch by'
                    f' {relative:.1e} of its largest value, more than'
                    f' {MAX_RELATIVE_DIFFERENCE:.0e}'
                )
            largest = max(largest, relative)
    return largest


def _run_module(
    model: EmoNet, spec: ModelSpec, images: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray]:
    import torch

    with torch.inference_mode():
        pixels = torch.from_numpy(images).permute(*TO_NCHW).float() * spec.scale
        result = model(pixels)
    return {
        output.name: result[output.name].reshape(len(images), -1).numpy()
        for output in spec.outputs
    }


def _check_images(count: int) -> npt.NDArray[np.uint8]:
    """Make smooth random images with some noise on them: faces are neither flat nor noise."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (count, 16, 16, 3)).astype(np.float64)
    size = INPUT_SIZE_PX // 16
    images = blocks.repeat(size, axis=1).repeat(size, axis=2)
    images = 0.5 * images + 64.0 + rng.normal(0.0, 8.0, images.shape)
    return np.clip(images, 0, 255).astype(np.uint8)


def _record(
    source: str, name: str, classes: int, files: Mapping[str, bytes], difference: float
) -> dict[str, Any]:
    tools = {PRODUCER: __version__}
    for tool in _TOOLS:
        with contextlib.suppress(PackageNotFoundError):
            tools[tool] = version(tool)
    return {
        'model': name,
        'source': {
            'file': source,
            'sha256': hashlib.sha256(files[f'{name}.pth']).hexdigest(),
        },
        'classes': classes,
        'licence': LICENCE,
        'licence_url': LICENCE_URL,
        'licence_note': LICENCE_NOTE,
        'attribution': ATTRIBUTION,
        'exporter': exporter_version(),
        'tools': tools,
        'check': {
            'against': 'torch',
            'batches': list(CHECKED_BATCHES),
            'max_relative_difference': difference,
        },
        'files': {
            file_name: {'size': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
            for file_name, data in files.items()
        },
    }


def exporter_version() -> str:
    """Return a name for the exporter that changes with its source code."""
    here = Path(__file__).parent
    conversion = here.parent / 'conversion'
    digest = hashlib.sha256()
    for module in (
        *(here / name for name in ('export.py', 'onnx_writer.py', 'contract.py')),
        *(conversion / name for name in ('onnx_graph.py', 'onnx_to_ncnn.py')),
    ):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]
