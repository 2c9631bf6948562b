# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What an engine is built from, and the form in which TensorRT gets it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from aitable_ros.inference.engine import TensorSpec
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building.build_options import BuildOptions, EngineBuildError
from aitable_ros.model_zoo.engine_building.network_preparation import (
    PreparedNetwork,
    contract_differences,
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
    def test_with_float_input_scaling_is_left_to_the_host(self, engines_dir: Path) -> None:
        spec = CONTRACTS['face_detection']
        source = find_source('face_detection', engines_dir, spec=spec, float_input=True)
        model = onnx.load_model_from_string(source.model)
        assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
        assert all(
            node.op_type != 'Add' or 'Transpose' not in node.input[0] for node in model.graph.node
        )
        plain = find_source('face_detection', engines_dir, spec=spec)
        import onnxruntime

        image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
        scaled = (image * spec.scale + spec.offset).astype(np.float32)
        want, got = (
            onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider']).run(
                ['boxes'], {'image': given}
            )[0]
            for content, given in ((plain.model, image), (source.model, scaled))
        )
        np.testing.assert_allclose(got, want, atol=1e-2)

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


@pytest.mark.models
class TestForm:
    @pytest.mark.parametrize(
        ('form', 'more', 'layers', 'million'),
        [('dense', '', 67, 228), ('relu', ', 23 PReLU made ReLU', 75, 930)],
    )
    def test_is_said(
        self, engines_dir: Path, form: str, more: str, layers: int, million: int
    ) -> None:
        source = find_source('face_mesh', engines_dir, spec=CONTRACTS['face_mesh'])
        lines: list[str] = []
        prepare(source, BuildOptions(form=form), typed=False, report=lines.append)
        assert lines == [
            'form: 20 separable convolutions made dense, 14 additions made part of one'
            f'{more}; {layers} layers with {million} million multiplications instead of'
            ' 101 layers with 35 million multiplications'
        ]

    def test_that_changes_nothing_is_said(self, engines_dir: Path) -> None:
        source = find_source('pose_landmark', engines_dir, spec=CONTRACTS['pose_landmark'])
        lines: list[str] = []
        options = BuildOptions(form='relu', precision='fp32')
        prepared = prepare(source, options, typed=False, report=lines.append)
        assert lines == ['form: there is nothing to write differently; it stays plain']
        assert prepared.model == source.model

    def test_is_as_good_of_the_onnx_file(self, engines_dir: Path) -> None:
        """Where the package tflite is missing."""
        import onnxruntime

        content = (engines_dir / 'face_mesh.onnx').read_bytes()
        source = find_source('face_mesh', engines_dir, onnx_file=engines_dir / 'face_mesh.onnx')
        options = BuildOptions(form='relu', precision='fp32')
        prepared = prepare(source, options, typed=False)
        assert prepared.model != content
        image = np.random.default_rng(0).integers(0, 256, (1, 192, 192, 3), np.uint8)
        want, got = (
            onnxruntime.InferenceSession(m, providers=['CPUExecutionProvider']).run(
                ['landmarks'], {'image': image}
            )[0]
            for m in (content, prepared.model)
        )
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-3)


class TestContract:
    @pytest.mark.parametrize(
        ('shape', 'fits'), [((1, 468, 3), True), ((1, 1, 1, 1404), True), ((1, 3, 468), False)]
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
        differences = contract_differences(spec, prepared)
        assert (not differences) is fits
        assert fits or 'landmarks' in differences[0]
