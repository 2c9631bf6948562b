# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The attention mesh in ONNX and for LiteRT, against the original's operators in NumPy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers
from onnx import numpy_helper
from skimage import data

from aitable_ros.inference.litert_engine import LitertEngine
from aitable_ros.inference.model_spec import DYNAMIC, TensorSpec
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.conversion.attention_operators import ATTENTION_OPERATORS
from aitable_ros.model_zoo.conversion.builtin_operators import without_custom_operators
from aitable_ros.model_zoo.conversion.tflite_network import GraphStyle, Network, Value
from aitable_ros.model_zoo.conversion.tflite_reader import (
    ConversionError,
    TfliteGraph,
    TfliteOperator,
    read,
)
from aitable_ros.model_zoo.conversion.tflite_to_onnx import convert
from aitable_ros.perception.images.roi import RotatedRoi

pytestmark = pytest.mark.models

SPEC = CONTRACTS['face_attention']
FLOAT32 = np.dtype(np.float32)
MATRIX, SAMPLE, TRANSFORM = (
    f'CUSTOM:{name}'
    for name in ('Landmarks2TransformMatrix', 'TransformTensorBilinear', 'TransformLandmarks')
)
ANGLES = (0.0, 0.4, math.pi / 2, 3.0, -2.2)
Array = npt.NDArray[Any]


def turn(angle: float) -> Array:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def affine(linear: Array = np.eye(2), shift: npt.ArrayLike = 0.0) -> Array:  # noqa: B008
    """A 4x4 matrix that maps x and y."""
    matrix = np.eye(4)
    matrix[:2, :2] = linear
    matrix[:2, 3] = shift
    return matrix


def original_matrix(landmarks: Array, options: dict[str, Any]) -> Array:
    """Landmarks2TransformMatrix, version 2: turn upright, box, and back."""
    xy = landmarks[:, :2].astype(np.float64)
    across = xy[int(options['right_rotation_idx'])] - xy[int(options['left_rotation_idx'])]
    angle = options['target_rotation_radians'] - math.atan2(across[1], across[0])
    turned = xy[options['subset_idxs'].astype(int)] @ turn(angle).T
    low, high = turned.min(axis=0), turned.max(axis=0)
    size = np.array([options['output_width'], options['output_height']])
    scale = (high - low) * (options['scale_x'], options['scale_y']) / size
    centre = turn(-angle) @ ((low + high) / 2)
    return (
        affine(shift=centre)
        @ affine(turn(-angle))
        @ affine(np.diag(scale))
        @ affine(shift=-size / 2)
    )


def original_sample(features: Array, matrix: Array, options: dict[str, Any]) -> Array:
    """TransformTensorBilinear, version 2, pixel by pixel."""
    height, width, channels = features.shape
    result = np.zeros((int(options['output_height']), int(options['output_width']), channels))
    for row, column in np.ndindex(result.shape[:2]):
        x, y = (matrix.astype(np.float64) @ (column + 0.5, row + 0.5, 0, 1))[:2] - 0.5
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            continue
        left, top = min(int(x), width - 2), min(int(y), height - 2)
        for down, beside in np.ndindex(2, 2):
            weight = (1 - abs(x - left - beside)) * (1 - abs(y - top - down))
            result[row, column] += weight * features[top + down, left + beside]
    return result


def original_transform(points: Array, matrix: Array, options: dict[str, Any]) -> Array:
    """TransformLandmarks, version 2, of x and y."""
    return points @ matrix[:2, :2].T + matrix[:2, 3]


ORIGINAL: dict[str, Callable[..., Array]] = {
    MATRIX: lambda o, landmarks: original_matrix(landmarks, o.options),
    SAMPLE: lambda o, features, matrix: original_sample(features, matrix, o.options),
    TRANSFORM: lambda o, points, matrix: original_transform(points, matrix, o.options),
}


@pytest.fixture(scope='module')
def content(tflite_dir: Path) -> bytes:
    return (tflite_dir / 'face_landmark_with_attention.tflite').read_bytes()


@pytest.fixture(scope='module')
def builtin(content: bytes) -> bytes:
    return without_custom_operators(content)


@pytest.fixture(scope='module')
def graph(content: bytes) -> TfliteGraph:
    return read(content)


@pytest.fixture(scope='module', params=list(GraphStyle), ids=lambda style: style.value)
def model(request: pytest.FixtureRequest, content: bytes) -> onnx.ModelProto:
    return convert(content, SPEC, style=request.param)


def of_kind(graph: TfliteGraph, kind: str) -> list[TfliteOperator]:
    return [operator for operator in graph.operators if operator.kind == kind]


def run_onnx(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def written(
    graph: TfliteGraph, operators: Sequence[TfliteOperator], inputs: dict[int, Array]
) -> list[Array]:
    """
    Run operators of one kind by themselves in ONNX.

    :param inputs: each operator's, by its tensor; NHWC with the batch first.
    """
    network = Network(graph, GraphStyle.NATIVE)
    fed, specs = {}, []
    for index, values in inputs.items():
        if values.ndim == 4:
            values = values.transpose(0, 3, 1, 2)
        name = f'input_{index}'
        network.values[index] = Value(name)
        fed[name] = np.ascontiguousarray(values, np.float32)
        specs.append(TensorSpec(name, (DYNAMIC, *values.shape[1:]), FLOAT32))
    ATTENTION_OPERATORS[operators[0].kind](network, operators)
    names = [network.values[operator.outputs[0]].name for operator in operators]
    outputs = []
    for operator, name in zip(operators, names):
        shape = graph.tensors[operator.outputs[0]].shape[1:]
        if len(shape) == 3:
            shape = (shape[2], *shape[:2])
        outputs.append(TensorSpec(name, (DYNAMIC, *shape), FLOAT32))
    answers = run_onnx(network.builder.model('operators', specs, outputs), fed)
    results = [answers[name] for name in names]
    return [a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for a in results]


def expected(operator: TfliteOperator, inputs: dict[int, Array]) -> Array:
    batches = [inputs[index] for index in operator.inputs]
    return np.stack([ORIGINAL[operator.kind](operator, *items) for items in zip(*batches)])


def made_up(graph: TfliteGraph, operators: Sequence[TfliteOperator]) -> dict[int, Array]:
    """Inputs for the operators: a batch of regions turned in many ways, some of them cut off."""
    random = np.random.default_rng(operators[0].outputs[0])
    inputs: dict[int, Array] = {}
    for index in dict.fromkeys(index for operator in operators for index in operator.inputs):
        shape = graph.tensors[index].shape[1:]
        values = random.normal(24.0, 8.0, (len(ANGLES), *shape)).astype(np.float32)
        if shape == (4, 4):
            for matrix, angle in zip(values, ANGLES):
                size = random.uniform(0.3, 2.0, 2)
                corner = random.uniform(-8.0, 40.0, 2)
                matrix[:2, [0, 1, 3]] = affine(turn(angle) * size, corner)[:2, [0, 1, 3]]
        elif len(shape) == 2 and shape[1] == 3:
            for landmarks, angle in zip(values, ANGLES):
                landmarks[:, :2] = landmarks[:, :2] * (1.0, 0.3) @ turn(angle).T
        inputs[index] = values
    return inputs


COUNTS = {MATRIX: 3, SAMPLE: 3, TRANSFORM: 5}
NODES = [(kind, i) for kind, count in COUNTS.items() for i in range(count)]


@pytest.mark.parametrize(('kind', 'i'), NODES)
def test_each_custom_node_computes_what_the_original_does(
    graph: TfliteGraph, builtin: bytes, kind: str, i: int
) -> None:
    assert len(of_kind(graph, kind)) == COUNTS[kind]
    operator = of_kind(graph, kind)[i]
    inputs = made_up(graph, [operator])
    wanted = expected(operator, inputs)
    (alone,) = written(graph, [operator], inputs)
    interpreter = Interpreter(model_content=cut(builtin, operator.inputs, operator.outputs))
    for ours in (alone, run_litert(interpreter, *(inputs[index] for index in operator.inputs))):
        assert ours.shape == (len(ANGLES), *graph.tensors[operator.outputs[0]].shape[1:])
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize('kind', [MATRIX, SAMPLE])
def test_those_that_are_written_together_compute_the_same(graph: TfliteGraph, kind: str) -> None:
    operators = of_kind(graph, kind)
    inputs = made_up(graph, operators)
    for operator, ours in zip(operators, written(graph, operators, inputs)):
        np.testing.assert_allclose(ours, expected(operator, inputs), rtol=1e-5, atol=2e-4)


def test_landmarks_that_coincide_turn_nothing(graph: TfliteGraph, builtin: bytes) -> None:
    operator = of_kind(graph, MATRIX)[0]
    inputs = {operator.inputs[0]: np.full((1, 468, 3), 7.0, np.float32)}
    (ours,) = written(graph, [operator], inputs)
    np.testing.assert_allclose(ours, expected(operator, inputs), atol=1e-6)
    interpreter = Interpreter(model_content=cut(builtin, operator.inputs, operator.outputs))
    ours = run_litert(interpreter, *inputs.values())
    np.testing.assert_allclose(ours, expected(operator, inputs), atol=1e-6)


class TestBorder:
    """A source point outside of [0, 47] is zero in all channels; up to there nothing fades."""

    @pytest.fixture
    def sampled(self, graph: TfliteGraph, builtin: bytes) -> Callable[[Array], Array]:
        """Sample a map whose every pixel is 1 + row + 100 column, in all channels."""
        operator = of_kind(graph, SAMPLE)[0]
        interpreter = Interpreter(model_content=cut(builtin, operator.inputs, operator.outputs))
        rows, columns = np.indices((48, 48))
        features = np.repeat((1.0 + rows + 100.0 * columns)[..., None], 32, axis=2)

        def sample(matrix: Array) -> Array:
            inputs = dict(zip(operator.inputs, (features[None], matrix[None].astype(np.float32))))
            (ours,) = written(graph, [operator], inputs)
            np.testing.assert_allclose(ours, expected(operator, inputs), rtol=1e-5, atol=1e-3)
            assert (ours == ours[..., :1]).all()
            np.testing.assert_allclose(
                run_litert(interpreter, *inputs.values()), ours, rtol=1e-6, atol=1e-4
            )
            return ours[0, ..., 0]

        return sample

    def test_the_outermost_pixels_are_inside(self, sampled: Callable[[Array], Array]) -> None:
        rows, columns = np.indices((16, 16))
        np.testing.assert_array_equal(sampled(affine()), 1 + rows + 100 * columns)
        last = sampled(affine(shift=32))
        np.testing.assert_array_equal(last, 1 + rows + 32 + 100 * (columns + 32))

    @pytest.mark.parametrize(
        ('shift', 'outside'),
        [
            ((-0.01, 0.0), np.s_[:, 0]),
            ((0.0, -0.01), np.s_[0]),
            ((32.01, 0.0), np.s_[:, -1]),
            ((5.0, 32.5), np.s_[-1]),
            ((-40.0, 3.0), np.s_[:]),
        ],
    )
    def test_just_beyond_is_zero(
        self, sampled: Callable[[Array], Array], shift: tuple[float, float], outside: Any
    ) -> None:
        ours = sampled(affine(shift=shift))
        zero = np.zeros((16, 16), bool)
        zero[outside] = True
        np.testing.assert_array_equal(ours == 0, zero)


def cut(content: bytes, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """Return the part of a network between tensors, as a TFLite file."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    model.signatureDefs = None
    (graph,) = model.subgraphs
    needed = set(outputs)
    operators: list[schema.OperatorT] = []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs) - set(inputs):
            needed.update(operator.inputs)
            operators.insert(0, operator)
    graph.operators = operators
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b'TFL3')
    return bytes(builder.Output())


def run_litert(interpreter: Interpreter, *inputs: Array) -> Array:
    """Run a part of the network on each of a batch."""
    interpreter.allocate_tensors()
    results = []
    for items in zip(*inputs):
        for details, values in zip(interpreter.get_input_details(), items):
            interpreter.set_tensor(details['index'], values[None].astype(np.float32))
        interpreter.invoke()
        (details,) = interpreter.get_output_details()
        results.append(interpreter.get_tensor(details['index']))
    return np.concatenate(results)


class Original:
    """The network as the file has it: LiteRT's convolutions, and NumPy for what it has not."""

    def __init__(self, content: bytes) -> None:
        self.graph = read(content)
        samples = of_kind(self.graph, SAMPLE)
        self.first = [samples[0].inputs[0]]
        self.first += [of_kind(self.graph, 'STRIDED_SLICE')[0].inputs[0]]
        names = {tensor.name: i for i, tensor in enumerate(self.graph.tensors)}
        self.first += [names['conv_faceflag']]
        self.crops = [operator.outputs[0] for operator in samples]
        regions = ('lips', 'left_eye', 'right_eye', 'left_iris', 'right_iris')
        self.found = [names[f'conv_{region}'] for region in regions]
        self.parts = [
            (inputs, outputs, Interpreter(model_content=cut(content, inputs, outputs)))
            for inputs, outputs in (
                (list(self.graph.inputs), self.first),
                (self.crops, self.found),
            )
        ]
        for *_, interpreter in self.parts:
            interpreter.allocate_tensors()

    def run(self, image: npt.NDArray[np.uint8]) -> dict[str, Array]:
        tensors = enumerate(self.graph.tensors)
        values = {i: tensor.values for i, tensor in tensors if tensor.values is not None}
        values[self.graph.inputs[0]] = image[None].astype(np.float32) / np.float32(255)
        for inputs, outputs, interpreter in self.parts:
            for details, index in zip(interpreter.get_input_details(), inputs):
                interpreter.set_tensor(details['index'], values[index])
            interpreter.invoke()
            for details, index in zip(interpreter.get_output_details(), outputs):
                values[index] = interpreter.get_tensor(details['index'])
            self._run_small_operators(values)
        return {
            SPEC.tflite_outputs[tensor.name]: values[index]
            for index, tensor in enumerate(self.graph.tensors)
            if index in self.graph.outputs
        }

    def _run_small_operators(self, values: dict[int, Array]) -> None:
        small = {*ORIGINAL, 'MUL', 'RESHAPE', 'STRIDED_SLICE', 'DEQUANTIZE'}
        for operator in self.graph.operators:
            index = operator.outputs[0]
            operands: list[Any] = [values.get(i) for i in operator.inputs]
            if operator.kind not in small or index in values or any(o is None for o in operands):
                continue
            if operator.kind in ORIGINAL:
                result = ORIGINAL[operator.kind](operator, *(o[0] for o in operands))[None]
            elif operator.kind == 'MUL':
                result = operands[0] * operands[1]
            else:
                result = operands[0].reshape(self.graph.tensors[index].shape)
            values[index] = result.astype(np.float32)


def crops_of_a_face() -> npt.NDArray[np.uint8]:
    """
    Return crops of one face: as usual, turned against it, and tight.

    From three of them, an eye's or the lips' region reaches beyond the feature map.
    """
    image = data.astronaut()
    return np.stack(
        [
            RotatedRoi(225.0 + shift, 124.0, size, angle).crop(image, 192)[0]
            for size, angle, shift in (
                *((155.0, 0.0, 0.0), (155.0, 0.5, 0.0), (155.0, -1.2, 8.0)),
                *((110.0, 0.0, 20.0), (110.0, 0.0, -20.0), (110.0, 0.4, 0.0), (80.0, 0.0, 0.0)),
            )
        ]
    )


def test_the_whole_network_agrees_with_the_original(
    content: bytes, builtin: bytes, model: onnx.ModelProto, tmp_path: Path
) -> None:
    original = Original(content)
    (tmp_path / 'builtin.tflite').write_bytes(builtin)
    litert = LitertEngine(SPEC, tmp_path / 'builtin.tflite')
    noise = np.random.default_rng(5).integers(0, 256, (192, 192, 3), np.uint8)
    images = np.stack([*crops_of_a_face(), 0 * noise, 0 * noise + 255, noise])
    both = run_onnx(model, {'image': images}), litert.infer({'image': images})
    for i, image in enumerate(images):
        for name, theirs in original.run(image).items():
            for ours in both:
                np.testing.assert_allclose(
                    ours[name][i].ravel(), theirs.ravel(), rtol=0, atol=1e-3, err_msg=f'{name} {i}'
                )


def test_graph_has_only_operators_that_tensorrt_8_6_parses(model: onnx.ModelProto) -> None:
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert {node.domain for node in model.graph.node} == {''}
    parsed = (
        'Abs Add Cast Clip Concat Conv Div Equal Floor Gather GatherND Identity MatMul MaxPool '
        'Min Mul PRelu Pad ReduceL2 ReduceMax ReduceMin ReduceProd ReduceSum Relu Reshape Slice '
        'Sub Transpose'
    )
    assert {node.op_type for node in model.graph.node} <= set(parsed.split())
    # and of types: nothing but the corners' indices and the shapes is of integers
    constants = [numpy_helper.to_array(constant) for constant in model.graph.initializer]
    assert {constant.dtype.name for constant in constants} == {'float32', 'int64'}


def test_a_network_without_custom_operators_stays_as_it_is(tflite_dir: Path) -> None:
    content = (tflite_dir / 'face_landmark.tflite').read_bytes()
    assert without_custom_operators(content) is content


class TestRefused:
    def changed(
        self, content: bytes, kind: str, change: Callable[[Any, Any], None]
    ) -> ConversionError:
        """Change the first operator of a kind and its code; return what is said then."""
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        codes = [f'CUSTOM:{(code.customCode or b"").decode()}' for code in model.operatorCodes]
        operator = next(o for o in model.subgraphs[0].operators if codes[o.opcodeIndex] == kind)
        change(operator, model.operatorCodes[operator.opcodeIndex])
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), b'TFL3')
        with pytest.raises(ConversionError) as error:
            convert(bytes(builder.Output()), SPEC)
        with pytest.raises(ConversionError):
            without_custom_operators(bytes(builder.Output()))
        return error.value

    def test_another_version_of_an_operator(self, content: bytes) -> None:
        for kind in (MATRIX, SAMPLE, TRANSFORM):
            error = self.changed(content, kind, lambda _, code: setattr(code, 'version', 1))
            assert f'operator {kind} is of version 1; supported is 2' in str(error)

    def test_options_that_are_missing_or_damaged(self, content: bytes) -> None:
        def options(raw: bytes) -> Callable[[Any, Any], None]:
            return lambda operator, _: setattr(operator, 'customOptions', list(raw))

        known = {'output_width': 16, 'output_height': 16}
        for wrong in (
            *({'output_width': 16}, {**known, 'output_width': 'a'}, 3, [16, 16]),
            {**known, 'output_height': [[1], [1, 2]]},
            {**known, 'output_width': math.nan},
        ):
            error = self.changed(content, SAMPLE, options(flexbuffers.Dumps(wrong)))
            assert 'damaged' in str(error)
        for raw in (b'', b'\xff\xff\xff'):
            assert 'damaged' in str(self.changed(content, SAMPLE, options(raw)))

    def test_what_no_file_has(self, graph: TfliteGraph) -> None:
        operator = of_kind(graph, MATRIX)[0]
        wrong = ({'subset_idxs': np.array([3.0, 468.0])}, {'left_rotation_idx': -1})
        for options in (*wrong, {'target_rotation_radians': 0.5}, {'output_width': 0}):
            changed = dataclasses.replace(operator, options={**operator.options, **options})
            with pytest.raises(ConversionError, match='unsupported landmarks, size or rotation'):
                written(graph, [changed], made_up(graph, [operator]))

    def test_a_size_that_is_not_the_result_s(self, graph: TfliteGraph) -> None:
        operator = of_kind(graph, SAMPLE)[0]
        options = {'output_width': 8, 'output_height': 8}
        changed = dataclasses.replace(operator, options=options)
        with pytest.raises(ConversionError, match=r'cannot make \[16, 16\] of p_re_lu_3'):
            written(graph, [changed], made_up(graph, [operator]))
