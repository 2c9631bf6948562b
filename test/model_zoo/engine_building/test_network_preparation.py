# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What an engine is built from, and the form in which TensorRT gets it."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import onnx
import pytest
from toy_network import TOY, toy

from aitable_ros.inference.engine import DYNAMIC, InferenceError, TensorSpec
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building.build_options import BuildOptions, EngineBuildError
from aitable_ros.model_zoo.engine_building.network_preparation import (
    PreparedNetwork,
    check_contract,
    find_source,
    prepare,
)


class TestSource:
    @pytest.mark.models
    def test_mediapipe_s_are_converted_with_one_operator_for_each(self, engines_dir: Path) -> None:
        spec = CONTRACTS['face_mesh']
        source = find_source('face_mesh', engines_dir, spec=spec)
        assert source.origin.endswith('face_mesh.tflite (converted)')
        operators = {n.op_type for n in onnx.load_model_from_string(source.model).graph.node}
        assert {'PRelu', 'Pad'} <= operators
        assert source.model == find_source('face_mesh', engines_dir, spec=spec).model

    @pytest.mark.models
    def test_a_damaged_tflite_file_is_refused(self, engines_dir: Path, tmp_path: Path) -> None:
        content = (engines_dir / 'face_mesh.tflite').read_bytes()
        (tmp_path / 'face_mesh.tflite').write_bytes(content[:-1])
        with pytest.raises(EngineBuildError, match='is damaged .*fetch_models face_mesh'):
            find_source('face_mesh', tmp_path, spec=CONTRACTS['face_mesh'])

    @pytest.mark.models
    def test_without_the_tflite_file_the_onnx_file_is_taken(
        self, engines_dir: Path, tmp_path: Path
    ) -> None:
        shutil.copyfile(engines_dir / 'face_mesh.onnx', tmp_path / 'face_mesh.onnx')
        source = find_source('face_mesh', tmp_path, spec=CONTRACTS['face_mesh'])
        assert source.origin == str(tmp_path / 'face_mesh.onnx')


class TestRefusals:
    def refused(self, path: Path) -> str:
        with pytest.raises(EngineBuildError) as caught:
            prepare(find_source('toy', path.parent, spec=TOY), BuildOptions(), typed=False)
        return str(caught.value)

    def test_a_file_that_is_missing_or_not_onnx(self, tmp_path: Path) -> None:
        path = tmp_path / 'toy.onnx'
        assert f'{path} is missing (' in self.refused(path)
        assert 'fetch_models toy' in self.refused(path)
        path.write_bytes(b'no onnx')
        assert f'{path} is not ONNX' in self.refused(path)

    def test_one_without_inputs(self, tmp_path: Path) -> None:
        model = toy()
        kept = onnx.helper.make_node('Constant', [], ['mean'], value_float=1.0)
        del model.graph.node[:], model.graph.input[:]
        model.graph.node.append(kept)
        onnx.save(model, tmp_path / 'toy.onnx')
        assert self.refused(tmp_path / 'toy.onnx').endswith('toy.onnx has no inputs')

    def test_an_open_picture_size(self, tmp_path: Path) -> None:
        model = toy()
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = 'H'
        onnx.save(model, tmp_path / 'toy.onnx')
        assert 'only the batch may be left open' in self.refused(tmp_path / 'toy.onnx')

    def test_weights_in_a_file_beside_it_that_is_gone(self, tmp_path: Path) -> None:
        path = tmp_path / 'toy.onnx'
        onnx.save_model(
            toy(), path, save_as_external_data=True, location='toy.data', size_threshold=0
        )
        source = find_source('toy', tmp_path, spec=TOY)  # they are put in
        (tmp_path / 'toy.data').unlink()
        onnx.checker.check_model(prepare(source, BuildOptions(), typed=False).model)
        assert 'toy.onnx keeps its weights in files beside it, which' in self.refused(path)


@pytest.mark.models
@pytest.mark.parametrize(
    ('name', 'told'),
    [
        (
            'face_mesh',
            r'\d+ separable .*, \d+ additions .*, \d+ PReLU made ReLU; \d+ layers instead',
        ),
        ('pose_landmark', 'there is nothing to write differently; it stays plain$'),
    ],
)
def test_the_form_is_said(engines_dir: Path, name: str, told: str) -> None:
    source = find_source(name, engines_dir, spec=CONTRACTS[name])
    lines: list[str] = []
    options = BuildOptions(form='relu', precision='fp32')
    prepared = prepare(source, options, typed=False, report=lines.append)
    (line,) = lines
    assert re.match(f'form: {told}', line)
    assert (prepared.model == source.model) == (name == 'pose_landmark')


class TestContract:
    @pytest.mark.parametrize(
        ('shape', 'fits'),
        [
            ((1, 468, 3), True),
            ((1, 1, 1, 1404), True),
            ((1, DYNAMIC, DYNAMIC, DYNAMIC), True),
            ((1, 3, 468), False),
        ],
    )
    def test_an_output_may_fold_its_dimensions_but_not_have_them_in_another_order(
        self, shape: tuple[int, ...], fits: bool
    ) -> None:
        spec = CONTRACTS['face_mesh']
        outputs = tuple(
            TensorSpec(t.name, shape if t.shape[1:] == (468, 3) else t.shape, t.dtype)
            for t in spec.outputs
        )
        assert shape in [t.shape for t in outputs]
        prepared = PreparedNetwork(b'', spec.inputs, outputs, typed=False)
        expected = pytest.raises(InferenceError, match='not this network: output landmarks')
        with contextlib.nullcontext() if fits else expected:
            check_contract(spec, prepared)
