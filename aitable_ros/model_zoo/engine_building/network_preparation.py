# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Find a network and bring it into the form in which TensorRT gets it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import one_line
from aitable_ros.inference.model_spec import DYNAMIC, ModelSpec, TensorSpec
from aitable_ros.inference.tensorrt.runtime import DTYPES
from aitable_ros.inference.tensorrt.tensors import EngineTensor, bind_tensors
from aitable_ros.model_zoo.engine_building.build_options import BuildOptions, EngineBuildError
from aitable_ros.model_zoo.files import Report
from aitable_ros.model_zoo.store import SOURCES, original_path


@dataclass(frozen=True)
class NetworkSource:
    """
    The ONNX model that an engine is built from, in FP32.

    :param model: its contents.
    :param origin: where it came from.
    """

    model: bytes
    origin: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the contents."""
        return hashlib.sha256(self.model).hexdigest()


@dataclass(frozen=True)
class PreparedNetwork:
    """
    What is given to TensorRT's parser.

    :param model: ONNX; with precision in it when ``typed``.
    :param inputs: its inputs.
    :param outputs: its outputs.
    :param typed: whether the graph's own types decide the precision.
    :param fp32_nodes: nodes that stay in FP32, where the precision is lower.
    :param fp32_weighted: those of them that hold weights; no parser may lose these.
    :param images: to calibrate INT8 on.
    :param images_sha256: digest of the pictures that were looked at; empty: of none.
    """

    model: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    typed: bool
    fp32_nodes: tuple[str, ...] = ()
    fp32_weighted: tuple[str, ...] = ()
    images: npt.NDArray[np.uint8] | None = None
    images_sha256: str = ''

    @property
    def dynamic(self) -> bool:
        """Whether the batch may have any size."""
        return all(tensor.shape[:1] == (DYNAMIC,) for tensor in self.inputs)


def find_source(
    name: str,
    engines_dir: Path,
    *,
    spec: ModelSpec | None = None,
    onnx_file: Path | None = None,
) -> NetworkSource:
    """
    Find the ONNX model to build from.

    MediaPipe's networks are converted from their .tflite file in memory, with one operator for
    each of TFLite's: the .onnx file beside it is written for ONNX Runtime's CPU kernels, which
    takes TensorRT more layers. Other networks, and these where the converter's packages are
    missing, are built from their .onnx file.

    :param name: the model.
    :param engines_dir: where its files are.
    :param spec: its contract, if it has one.
    :param onnx_file: this file, instead.
    :raises EngineBuildError: when there is no such file, or it cannot be read or converted.
    """
    if onnx_file is None and spec is not None and name in SOURCES:
        tflite = original_path(name, engines_dir)
        converted = _convert_tflite(tflite, spec) if tflite.is_file() else None
        if converted is not None:
            return converted
    path = onnx_file or engines_dir / f'{name}.onnx'
    try:
        return NetworkSource(_with_weights(path, path.read_bytes()), str(path))
    except FileNotFoundError as error:
        how = (
            f'python3 -m aitable_ros.tools.fetch_models {name}'
            if spec is not None
            else 'put it there, or name it with --onnx'
        )
        raise EngineBuildError(f'{path} is missing ({how})') from error
    except OSError as error:
        raise EngineBuildError(f'{path} cannot be read: {error.strerror or error}') from error


def _with_weights(path: Path, content: bytes) -> bytes:
    """Put in what the model keeps in files beside it, as PyTorch's exporter has it by default."""
    try:
        import onnx

        model = onnx.load_model_from_string(content)
    except Exception:  # without onnx, or if it is none: prepare() says so
        return content
    external = onnx.TensorProto.EXTERNAL
    if all(entry.data_location != external for entry in model.graph.initializer):
        return content
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        return model.SerializeToString(deterministic=True)
    except Exception as error:  # of onnx, protobuf (2 GB) and Python, without a common base
        raise EngineBuildError(
            f'{path} keeps its weights in files beside it, which cannot be read: {one_line(error)}'
        ) from error


def _convert_tflite(path: Path, spec: ModelSpec) -> NetworkSource | None:
    try:
        from aitable_ros.model_zoo.conversion import tflite_to_onnx
    except ImportError:
        return None
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SOURCES[spec.name].sha256:
        raise EngineBuildError(
            f'{path} is damaged (python3 -m aitable_ros.tools.fetch_models {spec.name})'
        )
    try:
        model = tflite_to_onnx.convert(content, spec, style=tflite_to_onnx.GraphStyle.NATIVE)
    except tflite_to_onnx.ConversionError as error:
        raise EngineBuildError(f'{path} cannot be converted: {error}') from error
    return NetworkSource(model.SerializeToString(deterministic=True), f'{path} (converted)')


def prepare(
    source: NetworkSource,
    options: BuildOptions,
    *,
    typed: bool,
    report: Report = lambda _: None,
) -> PreparedNetwork:
    """
    Check a network and bring it into the form in which it is given to TensorRT.

    :param typed: whether the graph is to carry the precision: see :func:`needs_typed_graph`.
    :param report: told what stays in FP32, and why.
    :raises EngineBuildError: when the file is not ONNX, has sizes other than the batch left
        open, or cannot be brought to the precision.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineBuildError(f'module onnx is needed (pip install onnx): {error}') from error
    from aitable_ros.model_zoo.engine_building import calibration, half_precision

    try:
        model = onnx.load_model_from_string(source.model)
        onnx.checker.check_model(model)
    except Exception as error:  # of protobuf, onnx and Python, without a common base
        raise EngineBuildError(f'{source.origin} is not ONNX: {one_line(error)}') from error
    constants = {entry.name for entry in model.graph.initializer}
    inputs = tuple(_tensor_specs(i for i in model.graph.input if i.name not in constants))
    outputs = tuple(_tensor_specs(model.graph.output))
    if not inputs:
        raise EngineBuildError(f'{source.origin} has no inputs')
    for tensor in inputs:
        if DYNAMIC in tensor.shape[1:]:
            raise EngineBuildError(
                f'{source.origin}: input {tensor}: only the batch may be left open; export it for'
                ' one picture size'
            )
    _name_nodes(model)
    if options.form != 'plain':
        model = _fold(model, report, rectify=options.form == 'relu')
    if options.precision in ('fp32', 'tf32'):
        content = model.SerializeToString(deterministic=True)
        return PreparedNetwork(content, inputs, outputs, typed)
    images = None
    if options.calibration_images is not None:
        images = _calibration_images(inputs, options.calibration_images)
    keep = set(half_precision.head_nodes(model))
    keep |= half_precision.first_nodes(model, options.fp32_first)
    keep |= set(_large_valued(model, inputs, images, report))
    held = keep & half_precision.float_nodes(model)
    kept = [node for node in model.graph.node if node.name in held]
    names = tuple(node.name for node in kept)
    weighted = tuple(
        node.name for node in kept if node.op_type in half_precision.WEIGHTED_OPERATORS
    )
    content = model.SerializeToString(deterministic=True)
    if typed:
        try:
            if images is not None and options.precision == 'int8':
                model = calibration.quantize(model, images, keep)
            else:
                model = half_precision.to_half(model, keep)
        except Exception as error:  # ours, and onnx's, which share no base class
            raise EngineBuildError(
                f'{source.origin} cannot be brought to {options.precision}: {one_line(error)}'
            ) from error
        content = model.SerializeToString(deterministic=True)
    return PreparedNetwork(
        content,
        inputs,
        outputs,
        typed,
        names,
        weighted,
        images if options.precision == 'int8' else None,
        '' if images is None else calibration.images_digest(images),
    )


def _fold(model: Any, report: Report, *, rectify: bool) -> Any:
    from onnx.shape_inference import InferenceError as ShapeError

    from aitable_ros.model_zoo.engine_building.convolution_folding import fold_convolutions

    try:
        folded = fold_convolutions(model, rectify=rectify)
    except ShapeError as error:
        report(f'convolutions stay as they are: shapes are not known ({one_line(error)})')
        return model
    if folded.model is model:
        report('form: there is nothing to write differently; it stays plain')
        return model
    done = (
        (folded.separable, 'separable convolutions made dense'),
        (folded.residual, 'additions made part of one'),
        (folded.rectified, 'PReLU made ReLU'),
    )
    said = ', '.join(f'{count} {what}' for count, what in done if count)
    before, after = len(model.graph.node), len(folded.model.graph.node)
    report(f'form: {said}; {after} layers instead of {before}')
    return folded.model


def _large_valued(
    model: Any, inputs: Sequence[TensorSpec], images: npt.NDArray | None, report: Report
) -> dict[str, float]:
    from aitable_ros.model_zoo.engine_building import half_precision

    image = inputs[0]
    if len(inputs) != 1 or image.dtype != np.uint8 or len(image.shape) != 4:
        report(
            'FP32 is kept for the heads only: what else would overflow can be found out only'
            ' for networks that take uint8 pictures'
        )
        return {}
    pictures = half_precision.probe_images(image.shape[1:])
    if images is not None:
        pictures += [picture[None] for picture in images[:32]]
    batch = max(image.shape[0], 1)
    pictures = [np.repeat(picture, batch, axis=0) for picture in pictures]
    try:
        large = half_precision.large_valued_nodes(
            model, ({image.name: picture} for picture in pictures)
        )
    except ImportError:
        report(
            'FP32 is kept for the heads only: to find out what else would overflow, install'
            ' onnxruntime'
        )
        return {}
    except Exception as error:  # onnxruntime's errors share no base class
        raise EngineBuildError(
            f'the network does not run in ONNX Runtime: {one_line(error)}'
        ) from error
    if large:
        report(
            f'values up to {max(large.values()):.0f} on plain pictures and noise, in {len(large)}'
            ' layers: these stay in FP32'
        )
    return large


def _calibration_images(inputs: Sequence[TensorSpec], folder: Path) -> npt.NDArray[np.uint8]:
    from aitable_ros.model_zoo.engine_building import calibration

    image = inputs[0]
    if len(inputs) != 1 or image.dtype != np.uint8 or image.shape[3:] != (3,):
        raise EngineBuildError(
            'pictures to calibrate on need a network that takes uint8[N,H,W,3], not '
            + ', '.join(map(str, inputs))
        )
    try:
        images = calibration.load_images(folder, *image.shape[1:3])
    except calibration.CalibrationError as error:
        raise EngineBuildError(str(error)) from error
    # enough for one batch, where the network has a fixed one
    return images[np.arange(max(len(images), image.shape[0])) % len(images)]


def _name_nodes(model: Any) -> None:
    """Give every node a name of its own: it is how layers are told apart."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f'{node.op_type}_unnamed_{index}'
        taken.add(node.name)


def _tensor_specs(infos: Any) -> Iterator[TensorSpec]:
    from onnx import helper

    for info in infos:
        tensor = info.type.tensor_type
        shape = tuple(
            size.dim_value if size.WhichOneof('value') == 'dim_value' else DYNAMIC
            for size in tensor.shape.dim
        )
        yield TensorSpec(
            info.name, shape, np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        )


def check_contract(spec: ModelSpec, prepared: PreparedNetwork) -> None:
    """
    Check that the engine of a network will have the tensors of a model.

    :raises InferenceError: when the model's backend would not take them; see
        :func:`~aitable_ros.inference.tensorrt.tensors.bind_tensors`.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    known = {output.name: output.shape for output in spec.outputs}
    tensors = []
    for tensor in (*prepared.inputs, *prepared.outputs):
        shape = tensor.shape
        if DYNAMIC in shape[1:]:  # left open until TensorRT finds out
            shape = known.get(spec.tflite_outputs.get(tensor.name, tensor.name), shape)
        dtype = names.get(tensor.dtype, tensor.dtype.name)
        tensors.append(EngineTensor(tensor.name, tensor in prepared.inputs, shape, dtype))
    bind_tensors(spec, tuple(tensors))
