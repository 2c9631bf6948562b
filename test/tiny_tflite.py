# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""TFLite networks written operator by operator, and what runs them and their conversions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from aitable_ros.inference.engine import DYNAMIC, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.conversion.tflite_to_onnx import GraphStyle, convert

FLOAT32 = np.dtype(np.float32)
OPERATOR = schema.BuiltinOperator
ACTIVATION = schema.ActivationFunctionType
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def make_spec(
    image_shape: Sequence[int],
    outputs: Mapping[str, tuple[str, Sequence[int]]],
    scale: float = 1.0,
    offset: float = 0.0,
) -> ModelSpec:
    """`outputs`: (canonical name, shape without batch) by TFLite name."""
    return ModelSpec(
        name='network',
        inputs=(TensorSpec('image', (DYNAMIC, *image_shape), np.dtype(np.uint8)),),
        outputs=tuple(
            TensorSpec(name, (DYNAMIC, *shape), FLOAT32) for name, shape in outputs.values()
        ),
        scale=scale,
        offset=offset,
        tflite_outputs={tflite: name for tflite, (name, _) in outputs.items()},
    )


def run_litert(
    content: bytes, spec: ModelSpec, images: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float32]]:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    results: dict[str, list[npt.NDArray[np.float32]]] = {out.name: [] for out in spec.outputs}
    for image in images:
        pixels = image[None].astype(np.float32) * np.float32(spec.scale) + np.float32(spec.offset)
        interpreter.set_tensor(interpreter.get_input_details()[0]['index'], pixels)
        interpreter.invoke()
        for details in interpreter.get_output_details():
            name = spec.tflite_outputs.get(details['name'])
            if name is not None:
                results[name].append(interpreter.get_tensor(details['index']))
    return {
        out.name: np.stack(results[out.name]).reshape(-1, *out.shape[1:]) for out in spec.outputs
    }


def run_onnx(
    model: onnx.ModelProto, images: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {'image': images})))


def sample_images(spec: ModelSpec, batch: int) -> dict[str, npt.NDArray[np.uint8]]:
    shape = (batch, *spec.inputs[0].shape[1:])
    return {
        'noise': np.random.default_rng(7).integers(0, 256, shape, np.uint8),
        'black': np.zeros(shape, np.uint8),
        'white': np.full(shape, 255, np.uint8),
    }


class TinyNetwork:
    """Writes a TFLite file operator by operator, for networks that no real file shows."""

    def __init__(self, image_shape: Sequence[int]) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors = []
        self.graph.operators = []
        self.graph.outputs = []
        self.model.subgraphs = [self.graph]
        self.image = self.tensor('image', (1, *image_shape))
        self.graph.inputs = [self.image]

    def tensor(
        self, name: str, shape: Sequence[int], kind: int = schema.TensorType.FLOAT32
    ) -> int:
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = list(shape)
        tensor.type = kind
        tensor.buffer = 0
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values: npt.NDArray) -> int:
        kind = {
            'float32': schema.TensorType.FLOAT32,
            'float16': schema.TensorType.FLOAT16,
            'int32': schema.TensorType.INT32,
            'int8': schema.TensorType.INT8,
        }[values.dtype.name]
        index = self.tensor(f'constant_{len(self.graph.tensors)}', values.shape, kind)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def operator(
        self,
        code: int,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: str = '',
        *,
        name: str = '',
        kind: int = schema.TensorType.FLOAT32,
        custom: str = '',
        **fields: int,
    ) -> int:
        operator_code = schema.OperatorCodeT()
        operator_code.builtinCode = code
        operator_code.deprecatedBuiltinCode = min(code, 127)
        operator_code.customCode = custom or None
        operator_code.version = 1
        self.model.operatorCodes.append(operator_code)
        output = self.tensor(name or f'tensor_{len(self.graph.tensors)}', shape, kind)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs = list(inputs)
        operator.outputs = [output]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f'{options}T')()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return output

    def conv(
        self,
        source: int,
        weights: npt.NDArray | int,
        shape: Sequence[int],
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int = SAME,
        activation: int = ACTIVATION.NONE,
        depthwise: bool = False,
        name: str = '',
    ) -> int:
        if isinstance(weights, np.ndarray):
            weights = self.constant(weights)
        tensors = self.graph.tensors
        channels = tensors[weights].shape[3 if depthwise else 0]
        return self.operator(
            OPERATOR.DEPTHWISE_CONV_2D if depthwise else OPERATOR.CONV_2D,
            [source, weights, self.constant(np.linspace(-1, 1, channels, dtype=np.float32))],
            shape,
            'DepthwiseConv2DOptions' if depthwise else 'Conv2DOptions',
            name=name,
            strideH=stride,
            strideW=stride,
            dilationHFactor=dilation,
            dilationWFactor=dilation,
            padding=padding,
            fusedActivationFunction=activation,
            depthMultiplier=channels // tensors[source].shape[3],  # of depthwise ones only
        )

    def reshape(self, source: int, shape: Sequence[int]) -> int:
        target = self.constant(np.array(shape, np.int32))
        return self.operator(OPERATOR.RESHAPE, [source, target], shape, 'ReshapeOptions')

    def content(self, *outputs: int) -> bytes:
        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b'TFL3')
        return bytes(builder.Output())

    def spec(self, *outputs: int, scale: float = 2 / 255, offset: float = -1.0) -> ModelSpec:
        tensors = [self.graph.tensors[index] for index in outputs]
        return make_spec(
            self.graph.tensors[self.image].shape[1:],
            {tensor.name: (f'out_{tensor.name}', tensor.shape[1:]) for tensor in tensors},
            scale,
            offset,
        )


def weights(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 0.3, shape).astype(np.float32)


def assert_same_as_litert(network: TinyNetwork, *outputs: int, style: GraphStyle) -> None:
    content = network.content(*outputs)
    spec = network.spec(*outputs)
    model = convert(content, spec, style=style)
    for images in sample_images(spec, 2).values():
        ours, theirs = run_onnx(model, images), run_litert(content, spec, images)
        for name, values in theirs.items():
            np.testing.assert_allclose(ours[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
