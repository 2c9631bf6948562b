# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aitable_ros.inference.engine import DYNAMIC, InferenceError, TensorSpec
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine

UINT8 = np.dtype(np.uint8)
FLOAT32 = np.dtype(np.float32)

SPEC = ModelSpec(
    name='halver',
    inputs=(TensorSpec('image', (DYNAMIC, 2, 3), UINT8),),
    outputs=(TensorSpec('halves', (DYNAMIC, 2, 3), FLOAT32),),
)


def write_model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[str | int | None]]],
    outputs: Sequence[tuple[str, int, Sequence[str | int | None]]],
    constants: Sequence[onnx.TensorProto] = (),
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        'test',
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, path)
    return path


def write_halver(
    path: Path,
    *,
    input_name: str = 'image',
    input_type: int = TensorProto.UINT8,
    shape: Sequence[str | int] = ('N', 2, 3),
    output_name: str = 'halves',
) -> Path:
    return write_model(
        path,
        [
            helper.make_node('Cast', [input_name], ['float'], to=TensorProto.FLOAT),
            helper.make_node('Mul', ['float', 'half'], [output_name]),
        ],
        [(input_name, input_type, shape)],
        [(output_name, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.float32(0.5), 'half')],
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_halver(tmp_path / 'halver.onnx')


def image(batch: int = 1) -> np.ndarray:
    return np.arange(batch * 6, dtype=np.uint8).reshape(batch, 2, 3)


@pytest.mark.parametrize('batch', [1, 4])
def test_runs_any_batch(path: Path, batch: int) -> None:
    with OnnxRuntimeEngine(SPEC, path) as engine:
        (name, values), *others = engine.infer({'image': image(batch)}).items()
    assert (name, others, values.dtype) == ('halves', [], FLOAT32)
    np.testing.assert_array_equal(values, image(batch) / np.float32(2))


def test_a_spec_without_tensors_takes_those_of_the_file(tmp_path: Path) -> None:
    path = write_halver(tmp_path / 'mine.onnx', input_name='x', output_name='y')
    spec = ModelSpec('mine', (), ())
    assert spec.is_open
    assert not SPEC.is_open
    with OnnxRuntimeEngine(spec, path) as engine:
        assert engine.inputs == (TensorSpec('x', (DYNAMIC, 2, 3), UINT8),)
        assert engine.outputs == (TensorSpec('y', (DYNAMIC, 2, 3), FLOAT32),)
        np.testing.assert_array_equal(engine.infer({'x': image(2)})['y'], image(2) / 2.0)
        with pytest.raises(InferenceError, match='expected input tensors'):
            engine.infer({'image': image()})
        with pytest.raises(InferenceError, match='x uint8'):
            engine.infer({'x': image().astype(np.float32)})


def test_a_file_of_unsupported_types_is_refused_with_the_tensor_s_name(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / 'words.onnx',
        [helper.make_node('Identity', ['words'], ['same'])],
        [('words', TensorProto.STRING, (1,))],
        [('same', TensorProto.STRING, (1,))],
    )
    with pytest.raises(InferenceError, match=r'words is tensor\(string\)'):
        OnnxRuntimeEngine(ModelSpec('words', (), ()), path)


def test_takes_arrays_that_are_not_contiguous(path: Path) -> None:
    wide = np.arange(24, dtype=np.uint8).reshape(1, 4, 6)
    with OnnxRuntimeEngine(SPEC, path) as engine:
        halves = engine.infer({'image': wide[:, ::2, ::2]})['halves']
    np.testing.assert_array_equal(halves, wide[:, ::2, ::2] / np.float32(2))


def test_results_belong_to_the_caller(path: Path) -> None:
    with OnnxRuntimeEngine(SPEC, path) as engine:
        first = engine.infer({'image': image()})['halves']
        kept = first.copy()
        second = engine.infer({'image': image() + np.uint8(100)})['halves']
        assert not np.shares_memory(first, second)
        second[:] = 0
    np.testing.assert_array_equal(first, kept)


def test_several_inputs_and_outputs_go_by_name(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / 'two.onnx',
        [
            helper.make_node('Sub', ['left', 'right'], ['difference']),
            helper.make_node('Add', ['left', 'right'], ['sum']),
        ],
        [('right', TensorProto.FLOAT, ['N', 2]), ('left', TensorProto.FLOAT, ['N', 2])],
        [('difference', TensorProto.FLOAT, ['N', 2]), ('sum', TensorProto.FLOAT, ['N', 2])],
    )
    spec = ModelSpec(
        name='two',
        inputs=tuple(TensorSpec(name, (DYNAMIC, 2), FLOAT32) for name in ('left', 'right')),
        outputs=tuple(TensorSpec(name, (DYNAMIC, 2), FLOAT32) for name in ('sum', 'difference')),
    )
    left, right = np.full((3, 2), 5, np.float32), np.full((3, 2), 2, np.float32)
    with OnnxRuntimeEngine(spec, path) as engine:
        results = engine.infer({'right': right, 'left': left})
        assert list(results) == ['sum', 'difference']
        np.testing.assert_array_equal(results['sum'], left + right)
        np.testing.assert_array_equal(results['difference'], left - right)
        with pytest.raises(InferenceError, match=r"expected input tensors \['left', 'right'\]"):
            engine.infer({'left': left})
        with pytest.raises(InferenceError, match='differ in size'):
            engine.infer({'left': left, 'right': right[:2]})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'input_name': 'input'},
            r'input image uint8\[N,2,3\] is missing, the file has input; unexpected input input',
        ),
        ({'output_name': 'out'}, r'output halves float32\[N,2,3\] is missing, the file has out'),
        (
            {'input_type': TensorProto.FLOAT},
            r'input image uint8\[N,2,3\] is tensor\(float\)\[N,2,3\] in the file',
        ),
        ({'shape': ('N', 2, 4)}, r'is tensor\(uint8\)\[N,2,4\] in the file; output halves'),
        ({'shape': ('N', 2, 3, 1)}, r'is tensor\(uint8\)\[N,2,3,1\] in the file'),
        ({'shape': (1, 2, 3)}, r'input image uint8\[N,2,3\] is tensor\(uint8\)\[1,2,3\]'),
    ],
    ids=['input name', 'output name', 'type', 'size', 'rank', 'fixed batch'],
)
def test_another_network_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    path = write_halver(tmp_path / 'other.onnx', **changes)
    with pytest.raises(InferenceError, match=rf'other\.onnx: not this network: .*{message}'):
        OnnxRuntimeEngine(SPEC, path)


def test_further_outputs_are_refused(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / 'more.onnx',
        [
            helper.make_node('Cast', ['image'], ['halves'], to=TensorProto.FLOAT),
            helper.make_node('Neg', ['halves'], ['negative']),
        ],
        [('image', TensorProto.UINT8, ['N', 2, 3])],
        [(name, TensorProto.FLOAT, ['N', 2, 3]) for name in ('halves', 'negative')],
    )
    with pytest.raises(InferenceError, match='unexpected output negative'):
        OnnxRuntimeEngine(SPEC, path)


def test_output_sizes_that_the_file_leaves_open_are_checked_after_the_run(
    tmp_path: Path,
) -> None:
    path = write_model(
        tmp_path / 'open.onnx',
        [
            helper.make_node('Cast', ['image'], ['float'], to=TensorProto.FLOAT),
            helper.make_node('Transpose', ['float'], ['halves'], perm=[0, 2, 1]),
        ],
        [('image', TensorProto.UINT8, ['N', 'rows', 'columns'])],
        [('halves', TensorProto.FLOAT, ['N', 'columns', 'rows'])],
    )
    with (
        OnnxRuntimeEngine(SPEC, path) as engine,
        pytest.raises(InferenceError, match=r'output halves float32\[N,2,3\]: got .*\[1, 3, 2\]'),
    ):
        engine.infer({'image': image()})


@pytest.mark.parametrize(
    'content',
    [b'', b'not a network', b'\x00' * 1000, bytes(range(256)) * 8],
    ids=['empty', 'text', 'zeros', 'garbage'],
)
def test_files_that_are_not_onnx_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'broken.onnx'
    path.write_bytes(content)
    with pytest.raises(InferenceError, match=r'halver on onnxruntime .*broken\.onnx: cannot be l'):
        OnnxRuntimeEngine(SPEC, path)


@pytest.mark.parametrize('fraction', [0.2, 0.5, 0.95])
def test_truncated_file_is_refused(path: Path, fraction: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InferenceError, match=r'halver\.onnx: cannot be loaded: '):
        OnnxRuntimeEngine(SPEC, path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r'absent\.onnx: no such file'):
        OnnxRuntimeEngine(SPEC, tmp_path / 'absent.onnx')
    with pytest.raises(InferenceError, match='no such file'):
        OnnxRuntimeEngine(SPEC, tmp_path)


def test_unknown_operator_is_refused(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / 'custom.onnx',
        [helper.make_node('TFL_Landmarks', ['image'], ['halves'])],
        [('image', TensorProto.UINT8, ['N', 2, 3])],
        [('halves', TensorProto.FLOAT, ['N', 2, 3])],
    )
    with pytest.raises(InferenceError, match=r'cannot be loaded: .*TFL_Landmarks'):
        OnnxRuntimeEngine(SPEC, path)


def test_failure_while_running_names_the_engine(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / 'failing.onnx',
        [
            helper.make_node('Cast', ['image'], ['index'], to=TensorProto.INT64),
            helper.make_node('Gather', ['table', 'index'], ['halves']),
        ],
        [('image', TensorProto.UINT8, ['N', 2, 3])],
        [('halves', TensorProto.FLOAT, ['N', 2, 3])],
        [numpy_helper.from_array(np.arange(6, dtype=np.float32), 'table')],
    )
    with OnnxRuntimeEngine(SPEC, path) as engine:
        engine.infer({'image': image()})
        with pytest.raises(InferenceError, match=r'failing\.onnx\): run failed: .*bounds'):
            engine.infer({'image': image() + np.uint8(200)})
        engine.infer({'image': image()})


def test_threads_are_set_and_do_not_spin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            seen.append(kwargs['sess_options'])
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(onnxruntime, 'InferenceSession', Session)
    with OnnxRuntimeEngine(SPEC, path, threads=2):
        pass
    (options,) = seen
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry('session.intra_op.allow_spinning') == '0'
    with pytest.raises(InferenceError, match='at least 1 thread, got 0'):
        OnnxRuntimeEngine(SPEC, path, threads=0)


def test_provider_that_does_not_exist_is_refused(path: Path) -> None:
    with pytest.raises(InferenceError, match=r'has no MagicExecutionProvider, only .*CPU'):
        OnnxRuntimeEngine(SPEC, path, providers=['MagicExecutionProvider'])


@pytest.mark.filterwarnings('ignore:Specified provider')
def test_provider_that_does_not_start_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ONNX Runtime itself would go on with the CPU.
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CUDAExecutionProvider'])
    monkeypatch.setattr(
        onnxruntime.InferenceSession, 'get_providers', lambda self: ['CPUExecutionProvider']
    )
    with pytest.raises(InferenceError, match='CUDAExecutionProvider could not be started'):
        OnnxRuntimeEngine(SPEC, path, providers=['CUDAExecutionProvider'])


def test_missing_runtime_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(InferenceError, match='ONNX Runtime cannot be imported'):
        OnnxRuntimeEngine(SPEC, path)
