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
from aitable_ros.model_zoo.conversion.onnx_graph import GraphBuilder
from aitable_ros.model_zoo.emonet.contract import (
    ATTRIBUTION,
    INPUT_SIZE_PX,
    LICENCE,
    LICENCE_NOTE,
    LICENCE_URL,
    emonet_spec,
)
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

PRODUCER = 'aitable'
"""Producer name in the model's metadata."""

CHECKED_BATCHES = (1, 3, 8)
"""Batch sizes with which an export is compared with PyTorch."""

MAX_RELATIVE_DIFFERENCE = 1e-4
"""Largest accepted difference to PyTorch, relative to the largest value of that output."""

_DEPTH = 4
_FEATURES = 256
_BATCH_NORM_EPSILON = 1e-5  # PyTorch's default, which the network was trained with
_TO_NCHW = (0, 3, 1, 2)
_TOOLS = ('torch', 'onnx', 'onnxruntime', 'ncnn', 'numpy')

_Weights = Mapping[str, npt.NDArray]
_Floats = npt.NDArray[np.float64]


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


def build_onnx(
    weights: Mapping[str, npt.NDArray], spec: ModelSpec, *, weights_sha256: str = ''
) -> onnx.ModelProto:
    """
    Write EmoNet as an ONNX graph.

    :param weights: the state_dict as arrays, complete but for ``num_batches_tracked``.
    :param spec: the contract (:func:`~aitable_ros.model_zoo.emonet.contract.emonet_spec`) with
        the weights' number of classes; scaling of the pixels is part of the graph.
    :param weights_sha256: of the checkpoint, for the metadata.
    :returns: a checked model of opset 17 and IR version 8, for any batch size.
    :raises ValueError: when the weights have another number of classes than the spec.
    :raises KeyError: when a weight is missing.
    """
    found = weights['emo_fc_2.3.bias'].shape[0] - 2
    classes = spec.outputs[0].shape[1]
    if found != classes:
        raise ValueError(f'the weights have {found} classes, the spec {classes}')
    builder = _Writer(weights, spec).write()
    return builder.model(
        spec.name,
        spec.inputs,
        spec.outputs,
        producer_name=PRODUCER,
        producer_version=__version__,
        metadata={
            'source_sha256': weights_sha256,
            'licence': LICENCE,
            'licence_note': LICENCE_NOTE,
            'attribution': ATTRIBUTION,
            'producer_name': PRODUCER,
            'producer_version': __version__,
        },
    )


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
        pixels = torch.from_numpy(images).permute(*_TO_NCHW).float() * spec.scale
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
    digest = hashlib.sha256()
    for module in ('emonet_export', 'emonet_contract', 'onnx_graph', 'onnx_to_ncnn'):
        digest.update(Path(__file__).with_name(f'{module}.py').read_bytes())
    return digest.hexdigest()[:16]


class _Writer:
    """
    Writes one network; see :func:`build_onnx`. Folding is done in double precision.

    :param weights: the state_dict.
    :param spec: the contract.
    """

    def __init__(self, weights: _Weights, spec: ModelSpec) -> None:
        self._weights = weights
        self._spec = spec
        self._builder = GraphBuilder()

    def write(self) -> GraphBuilder:
        builder = self._builder
        # The cast comes first: TensorRT takes uint8 inputs only where a cast follows directly.
        x = builder.node('Cast', [self._spec.inputs[0].name], to=onnx.TensorProto.FLOAT)
        x = builder.node('Transpose', [x], perm=_TO_NCHW)
        x = self._convolution_norm_relu(x, 'conv1', 'bn1', stride=2, scale=self._spec.scale)
        x = self._pool(self._block(x, 'conv2'))
        x = self._block(self._block(x, 'conv3'), 'conv4')

        # Everything that is made of the first stage's features is linear, heatmaps included:
        # one convolution gives what is added to the second stage's input.
        first = self._stage(x, 0)
        from_heatmap, to_features = self._matrix('al0'), self._matrix('bl0')
        injected = self._convolution(
            first,
            _as_1x1(to_features + from_heatmap @ self._matrix('l0')),
            self._get('bl0.bias') + self._get('al0.bias') + from_heatmap @ self._get('l0.bias'),
        )
        second = self._stage(builder.node('Add', [x, injected]), 1)

        # The attention, the sum of the heatmaps, is one number per place. Multiplying with it
        # and the 1x1 convolution that follows can change places.
        attention = self._convolution(
            second,
            _as_1x1(self._matrix('l1').sum(axis=0, keepdims=True)),
            self._get('l1.bias').sum(keepdims=True),
        )
        for_image, for_first, for_second = np.split(self._matrix('conv1x1_input_emo_2'), 3, axis=1)
        attended = builder.node(
            'Add',
            [
                self._convolution(
                    first,
                    _as_1x1(for_first @ to_features),
                    for_first @ self._get('bl0.bias'),
                ),
                self._convolution(second, _as_1x1(for_second)),
            ],
        )
        attended = builder.node('Mul', [attended, attention])
        features = builder.node(
            'Add',
            [
                attended,
                self._convolution(x, _as_1x1(for_image), self._get('conv1x1_input_emo_2.bias')),
            ],
        )
        for position in (0, 2, 4, 6):
            features = self._pool(self._block(features, f'emo_net_2.{position}'))
        self._head(builder.node('GlobalAveragePool', [features]))
        return builder

    def _head(self, features: str) -> None:
        x = self._builder.node('Flatten', [features])
        scale, shift = self._norm('emo_fc_2.1')
        x = self._linear(
            x,
            self._get('emo_fc_2.0.weight') * scale[:, None],
            self._get('emo_fc_2.0.bias') * scale + shift,
        )
        x = self._builder.node('Relu', [x])
        weight, bias = self._get('emo_fc_2.3.weight'), self._get('emo_fc_2.3.bias')
        begin = 0
        for output in self._spec.outputs:
            rows = slice(begin, begin + output.shape[1])
            self._linear(x, weight[rows], bias[rows], output=output.name)
            begin = rows.stop

    def _stage(self, x: str, k: int) -> str:
        x = self._block(self._hourglass(x, f'm{k}', _DEPTH), f'top_m_{k}')
        return self._convolution_norm_relu(x, f'conv_last{k}', f'bn_end{k}')

    def _hourglass(self, x: str, name: str, level: int) -> str:
        upper = self._block(x, f'{name}.b1_{level}')
        lower = self._block(self._pool(x), f'{name}.b2_{level}')
        if level > 1:
            lower = self._hourglass(lower, name, level - 1)
        else:
            lower = self._block(lower, f'{name}.b2_plus_1')
        lower = self._block(lower, f'{name}.b3_{level}')
        scales = self._constant(np.array((1.0, 1.0, 2.0, 2.0)))
        enlarged = self._builder.node(
            'Resize',
            [lower, '', scales],
            mode='nearest',
            coordinate_transformation_mode='asymmetric',
            nearest_mode='floor',
        )
        return self._builder.node('Add', [upper, enlarged])

    def _block(self, x: str, name: str) -> str:
        parts = []
        part = x
        for i in (1, 2, 3):
            part = self._norm_relu(part, f'{name}.bn{i}')
            part = self._convolution(part, self._get(f'{name}.conv{i}.weight'))
            parts.append(part)
        residual = x
        if f'{name}.downsample.2.weight' in self._weights:
            residual = self._norm_relu(x, f'{name}.downsample.0')
            residual = self._convolution(residual, self._get(f'{name}.downsample.2.weight'))
        joined = self._builder.node('Concat', parts, axis=1)
        return self._builder.node('Add', [joined, residual])

    def _convolution_norm_relu(
        self, x: str, convolution: str, norm: str, *, stride: int = 1, scale: float = 1.0
    ) -> str:
        factor, shift = self._norm(norm)
        weight = self._get(f'{convolution}.weight') * (scale * factor.reshape(-1, 1, 1, 1))
        bias = self._get(f'{convolution}.bias') * factor + shift
        return self._builder.node('Relu', [self._convolution(x, weight, bias, stride=stride)])

    def _norm_relu(self, x: str, norm: str) -> str:
        """Apply a batch norm that follows no convolution of its own: its input is used twice."""
        scale, shift = self._norm(norm)
        zeros, ones = np.zeros_like(scale), np.ones_like(scale)
        inputs = [x, *(self._constant(values) for values in (scale, shift, zeros, ones))]
        x = self._builder.node('BatchNormalization', inputs, epsilon=0.0)
        return self._builder.node('Relu', [x])

    def _convolution(
        self, x: str, weight: _Floats, bias: _Floats | None = None, *, stride: int = 1
    ) -> str:
        size = weight.shape[2]
        inputs = [x, self._constant(weight)]
        if bias is not None:
            inputs.append(self._constant(bias))
        return self._builder.node(
            'Conv',
            inputs,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[size // 2] * 4,
        )

    def _linear(self, x: str, weight: _Floats, bias: _Floats, *, output: str | None = None) -> str:
        inputs = [x, self._constant(weight), self._constant(bias)]
        return self._builder.node('Gemm', inputs, output=output, transB=1)

    def _pool(self, x: str) -> str:
        return self._builder.node('MaxPool', [x], kernel_shape=[2, 2], strides=[2, 2])

    def _norm(self, name: str) -> tuple[_Floats, _Floats]:
        """Return what a batch norm multiplies with and what it adds."""
        deviation = np.sqrt(self._get(f'{name}.running_var') + _BATCH_NORM_EPSILON)
        scale = self._get(f'{name}.weight') / deviation
        return scale, self._get(f'{name}.bias') - self._get(f'{name}.running_mean') * scale

    def _matrix(self, name: str) -> _Floats:
        """Return the weights of a 1x1 convolution as a matrix (out, in)."""
        return self._get(f'{name}.weight')[:, :, 0, 0]

    def _get(self, name: str) -> _Floats:
        return self._weights[name].astype(np.float64)

    def _constant(self, values: _Floats) -> str:
        return self._builder.constant(values.astype(np.float32))


def _as_1x1(matrix: _Floats) -> _Floats:
    return matrix[:, :, None, None]
