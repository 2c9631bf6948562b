# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
EmotiEffLib's networks in the engines folder: fetched by the user, with aitable's contract.

What the authors publish takes normalised pixels and gives ten numbers. The file that is stored
takes the picture itself (uint8, NHWC, RGB) and names its outputs; the network in it is unchanged.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import DYNAMIC, ModelSpec, TensorSpec
from aitable_ros.model_zoo.files import ModelFilesError, Report, locked, print_report, store_model

if TYPE_CHECKING:
    import onnx

REPOSITORY = 'https://github.com/sb-ai-lab/EmotiEffLib'
URL = (
    'https://raw.githubusercontent.com/sb-ai-lab/EmotiEffLib/'
    '520a051c64cd191521e5934655314e769a319684/models/affectnet_emotions/onnx/{file}'
)
LICENCE = 'Apache-2.0'
ATTRIBUTION = f'EmotiEffLib: A. V. Savchenko and others ({REPOSITORY})'

CLASSES = 8
CHECKED_BATCHES = (1, 3)
MAX_DIFFERENCE = 1e-3
"""Largest accepted difference of a batch's outputs to those of its pictures one by one."""


@dataclass(frozen=True)
class Source:
    """
    One of the networks.

    :param file: its name at the authors'.
    :param sha256: in hex.
    :param size_px: side of its input.
    :param mean: of its training pictures' pixels, by channel, over 255.
    :param std: their standard deviation, over 255.
    """

    file: str
    sha256: str
    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


SOURCES = MappingProxyType(
    {
        'emotieff': Source(
            'enet_b0_8_va_mtl.onnx',
            'c43e056ad388d4a8dc911832b8291435b2af537f967e5870ebd731574ec7e812',
            224,
            (0.485, 0.456, 0.406),
            (0.229, 0.224, 0.225),
        ),
        'emotieff_mbf': Source(
            'mbf_va_mtl.onnx',
            '0323ace52ea6dbe9aa4a909d20933f7b8629c3fb41249e338f4316abf2a4828c',
            112,
            (0.5, 0.5, 0.5),
            (0.5, 0.5, 0.5),
        ),
    }
)
"""By the model's name: EfficientNet-B0 and the smaller MobileFaceNet."""


def emotieff_spec(name: str) -> ModelSpec:
    """
    Return the contract of one of the networks, without a backend chain.

    ``image`` uint8 (N, S, S, 3) RGB in; ``expression`` float32 (N, 8) logits, ``valence`` and
    ``arousal`` float32 (N, 1), not clamped, out.

    :param name: a key of :data:`SOURCES`.
    """
    size, floats = SOURCES[name].size_px, np.dtype(np.float32)
    return ModelSpec(
        name=name,
        inputs=(TensorSpec('image', (DYNAMIC, size, size, 3), np.dtype(np.uint8)),),
        outputs=(
            TensorSpec('expression', (DYNAMIC, CLASSES), floats),
            TensorSpec('valence', (DYNAMIC, 1), floats),
            TensorSpec('arousal', (DYNAMIC, 1), floats),
        ),
        required=False,
    )


def export_emotieff(
    path: Path, folder: Path, *, name: str = 'emotieff', progress: Report = print_report
) -> None:
    """
    Put one of the networks into the engines folder: ONNX file and record.

    Nothing is stored unless ONNX Runtime gives for a batch what it gives for its pictures.

    :param path: the authors' file.
    :param folder: the engines folder; made where it does not exist.
    :param name: a key of :data:`SOURCES`.
    :param progress: takes one line for each step.
    :raises ModelFilesError: when the file is of another network, a package is missing, the check
        fails, or the folder cannot be written.
    """
    try:
        content = path.read_bytes()
        made = _with_contract(content, name).SerializeToString(deterministic=True)
        difference = _check(made, name)
    except ImportError as error:
        raise ModelFilesError(f'{name}: {error} (pip install onnx onnxruntime)') from error
    except OSError as error:
        raise ModelFilesError(f'{path} cannot be read: {error.strerror or error}') from error
    except InferenceError as error:
        raise ModelFilesError(f'{path}: is not usable as {name}: {error}') from error
    digest = hashlib.sha256(content).hexdigest()
    progress(f'{path}: {name}, sha256 {digest[:12]}')
    facts = {
        'model': name,
        'source': {'file': SOURCES[name].file, 'sha256': digest, 'url': REPOSITORY},
        'licence': LICENCE,
        'attribution': ATTRIBUTION,
        'check': {'batches': list(CHECKED_BATCHES), 'max_difference': difference},
    }
    try:
        with locked(folder, progress):
            store_model(folder, name, {f'{name}.onnx': made}, facts)
    except OSError as error:
        raise ModelFilesError(
            f'the engines folder {folder} cannot be written: {error.strerror or error}'
        ) from error


def _with_contract(content: bytes, name: str) -> onnx.ModelProto:
    """
    Put pixel normalisation before a network, and names on its outputs.

    :raises ModelFilesError: when it is no ONNX file, or takes or gives something else.
    """
    import onnx
    from onnx import helper, numpy_helper

    source, spec = SOURCES[name], emotieff_spec(name)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's; which one depends on its version
        raise ModelFilesError(f'{source.file}: not an ONNX file: {error}') from error
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    shapes = [
        [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inputs, *graph.output)
    ]
    size = source.size_px
    if [shape[1:] for shape in shapes] != [[3, size, size], [CLASSES + 2]]:
        raise ModelFilesError(
            f'{source.file}: expected one input [N,3,{size},{size}] and one output'
            f' [N,{CLASSES + 2}], it has {shapes}'
        )
    taken, given = inputs[0].name, graph.output[0].name
    std = np.array(source.std)
    normal = {'scale': 1.0 / (255.0 * std), 'shift': -np.array(source.mean) / std}
    arrays: dict[str, npt.NDArray] = {
        key: value.astype(np.float32).reshape(1, 3, 1, 1) for key, value in normal.items()
    }
    arrays |= {'axis': np.array([1], np.int64)}
    outputs = ('expression', 0, CLASSES), ('valence', CLASSES, 1), ('arousal', CLASSES + 1, 1)
    for output, begin, count in outputs:
        arrays[f'{output}_begin'] = np.array([begin], np.int64)
        arrays[f'{output}_end'] = np.array([begin + count], np.int64)
    nodes = [
        helper.make_node('Cast', ['image'], ['aitable_pixels'], to=onnx.TensorProto.FLOAT),
        helper.make_node('Transpose', ['aitable_pixels'], ['aitable_nchw'], perm=[0, 3, 1, 2]),
        helper.make_node('Mul', ['aitable_nchw', 'aitable_scale'], ['aitable_scaled']),
        helper.make_node('Add', ['aitable_scaled', 'aitable_shift'], [taken]),
        *graph.node,
        *(
            helper.make_node(
                'Slice',
                [given, f'aitable_{o}_begin', f'aitable_{o}_end', 'aitable_axis'],
                [o],
            )
            for o, *_ in outputs
        ),
    ]
    kept = [*graph.initializer]
    kept += [numpy_helper.from_array(array, f'aitable_{key}') for key, array in arrays.items()]
    wrapped = helper.make_graph(
        nodes,
        name,
        [_value(tensor) for tensor in spec.inputs],
        [_value(tensor) for tensor in spec.outputs],
        kept,
    )
    made = helper.make_model(
        wrapped, opset_imports=model.opset_import, ir_version=min(model.ir_version, 8)
    )
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelFilesError(f'{source.file}: {error}') from error
    return made


def _value(tensor: TensorSpec) -> onnx.ValueInfoProto:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
    return helper.make_tensor_value_info(tensor.name, kind, ['N', *tensor.shape[1:]])


def _check(content: bytes, name: str) -> float:
    """
    Return by how much batches differ from their pictures one by one.

    :raises InferenceError: when it is too much, or the file does not run.
    """
    from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine

    spec = emotieff_spec(name)
    shape = (max(CHECKED_BATCHES), *spec.inputs[0].shape[1:])
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{name}.onnx'
        path.write_bytes(content)
        with OnnxRuntimeEngine(spec, path) as engine:
            single = [engine.infer({'image': image[None]}) for image in images]
            largest = 0.0
            for batch in CHECKED_BATCHES:
                for output, values in engine.infer({'image': images[:batch]}).items():
                    alone = np.concatenate([one[output] for one in single[:batch]])
                    largest = max(largest, float(np.abs(values - alone).max()))
    if not largest <= MAX_DIFFERENCE:  # NaN is not smaller
        raise InferenceError(f'outputs of a batch differ from those of its pictures by {largest}')
    return largest
