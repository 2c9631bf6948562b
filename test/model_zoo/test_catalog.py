# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from aitable_ros.inference.engine import DYNAMIC
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.catalog import CONTRACTS, CatalogError, load_catalog
from aitable_ros.model_zoo.store import SOURCES

GOOD = """
models:
  face_mesh: {required: false, primary: onnxruntime, fallbacks: [litert]}
  face_detection: {primary: litert}
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / 'models.yaml'
        path.write_text(text)
        return path

    return write


def test_the_package_s_own_catalog_has_every_model(catalog: dict[str, ModelSpec]) -> None:
    assert set(catalog) == set(CONTRACTS)
    for name, spec in catalog.items():
        assert spec.chain[:2] == ('tensorrt', 'tensorrt_rtx')
        if name.startswith('pose_'):  # LiteRT cannot leave out the segmentation mask
            assert spec.chain[2:] == ('onnxruntime', 'litert')
        elif name in SOURCES:
            assert spec.chain[2:] == ('litert', 'onnxruntime')
        elif name.startswith('emotieff'):
            assert spec.chain[2:] == ('onnxruntime',)
        else:
            assert spec.chain[2:] == ('ncnn', 'onnxruntime', 'pytorch')
    assert {name for name, spec in catalog.items() if spec.required} == {
        'face_detection',
        'face_mesh',
    }


def test_a_file_sets_chain_and_required_and_the_code_the_tensors(written) -> None:
    catalog = load_catalog(written(GOOD))
    assert list(catalog) == ['face_mesh', 'face_detection']
    assert catalog['face_mesh'].chain == ('onnxruntime', 'litert')
    assert not catalog['face_mesh'].required
    assert catalog['face_detection'].chain == ('litert',)
    assert catalog['face_detection'].required
    assert catalog['face_mesh'].inputs == CONTRACTS['face_mesh'].inputs


def test_images_go_in_as_uint8_batches_and_floats_come_out() -> None:
    for name, spec in CONTRACTS.items():
        (image,) = spec.inputs
        assert (image.name, image.dtype) == ('image', np.uint8), name
        assert (image.shape[0], image.shape[3]) == (DYNAMIC, 1 if name == 'fer' else 3), name
        for output in spec.outputs:
            assert (output.dtype, output.shape[0]) == (np.float32, DYNAMIC), name
        if name in SOURCES:
            assert sorted(spec.tflite_outputs.values()) == sorted(o.name for o in spec.outputs)


def test_asking_for_a_model_that_is_not_there_says_what_is(written) -> None:
    with pytest.raises(CatalogError, match=r"'body_pose' is not in .* face_mesh, face_detection"):
        load_catalog(written(GOOD))['body_pose']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', r'expected entries from models, got nothing'),
        ('models:', r'models: expected entries from face_detection, .*, got nothing'),
        ('models: [face_mesh]', r'models: expected entries'),
        ('models: {}\nmodel: {}', r"unknown entry 'model'; expected models"),
        ('models: {facemesh: {primary: litert}}', r"unknown entry 'facemesh'; expected face_det"),
        ('models: {1: {primary: litert}}', r'unknown entry 1'),
        ('models: {face_mesh: litert}', r'models.face_mesh: expected entries from required'),
        ('models: {face_mesh: {fallbacks: [litert]}}', r'models.face_mesh: primary is missing'),
        (
            'models: {face_mesh: {primary: cuda}}',
            r'face_mesh: unknown backend, a text of length 4; .*litert',
        ),
        ('models: {face_mesh: {primary: [litert]}}', r'unknown backend, a list of length 1'),
        (
            'models: {face_mesh: {primary: litert, fallbacks: [onnx]}}',
            r'face_mesh: unknown backend, a text of length 4',
        ),
        (
            'models: {face_mesh: {primary: litert, fallbacks: onnxruntime}}',
            r'face_mesh.fallbacks: expected a list of backends, got a text of length 11',
        ),
        (
            'models: {face_mesh: {primary: litert, fallbacks: [litert]}}',
            r'face_mesh: backend litert appears more than once',
        ),
        (
            'models: {face_mesh: {primary: litert, required: "no"}}',
            r'face_mesh.required: expected true or false, got a text of length 2',
        ),
        (
            'models: {face_mesh: {primary: litert, fallback: [onnxruntime]}}',
            r"models.face_mesh: unknown entry 'fallback'; expected required, primary, fallbacks",
        ),
        ('models: {face_mesh: {', r'is not valid YAML'),
        ('models: !!python/object/apply:os.getcwd []', r'is not valid YAML'),
    ],
)
def test_mistakes_in_the_file_are_named(written, text: str, message: str) -> None:
    path = written(text)
    with pytest.raises(CatalogError, match=message) as caught:
        load_catalog(path)
    assert str(path) in str(caught.value)


SECRET = 'the secret of this file'


@pytest.mark.parametrize(
    'text',
    [
        f'{SECRET}\n',
        f'- {SECRET}\n- more\n',
        f'key: {SECRET}',
        f'"{SECRET}',
        f'*{SECRET.replace(" ", "_")}',
        f'%{SECRET}',
        f'!!{SECRET.replace(" ", "_")} x',
        f'models: {SECRET}',
        f'models: {{face_mesh: {SECRET}}}',
        *(
            f'models: {{face_mesh: {{primary: litert, {key}: {SECRET}}}}}'
            for key in ('required', 'fallbacks', 'host_code_sha256')
        ),
        f'models: {{face_mesh: {{primary: {SECRET}}}}}',
        f'models: {{face_mesh: {{primary: litert, fallbacks: [{SECRET}]}}}}',
    ],
)
def test_no_message_quotes_the_file_that_was_named(written, text: str) -> None:
    # any file of the machine may be, by a parameter
    with pytest.raises(CatalogError) as caught:
        load_catalog(written(text))
    for part in ('secret', 'this file', 'of_this'):
        assert part not in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'text',
    [
        'a: &a [x, x]\nb: &b [*a, *a]\nmodels: [*b, *b]',
        'models: ' + '[' * 5000,
        'models: ' + '{a: ' * 5000,
        f'{"x" * 100_000}: 1',
        'models: {face_mesh: {primary: ' + 'x' * 100_000 + '}}',
        f'models: {{face_mesh: {{primary: litert, fallbacks: {list(range(10_000))}}}}}',
        '#' * (1 << 20) + '\nmodels: {}',
    ],
)
def test_whatever_it_holds_is_refused_in_a_short_line(written, text: str) -> None:
    with pytest.raises(CatalogError) as caught:
        load_catalog(written(text))
    assert len(str(caught.value)) < 400


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', Path('/dev/null')):
        with pytest.raises(CatalogError, match='cannot be read: is no regular file'):
            load_catalog(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r'absent\.yaml: cannot be read: No such file'):
        load_catalog(tmp_path / 'absent.yaml')
    (tmp_path / 'latin1.yaml').write_bytes(b'models: \xe9')
    with pytest.raises(CatalogError, match=r'latin1\.yaml: is not valid YAML'):
        load_catalog(tmp_path / 'latin1.yaml')


def test_memory_is_mapped_where_the_file_says_so(written) -> None:
    entry = 'models: {face_mesh: {primary: tensorrt, mapped_memory: %s}}'
    assert load_catalog(written(entry % 'true'))['face_mesh'].mapped_memory
    assert not load_catalog(written(GOOD))['face_mesh'].mapped_memory
    with pytest.raises(CatalogError, match=r'face_mesh\.mapped_memory: expected true or false'):
        load_catalog(written(entry % 'perhaps'))


def test_one_engine_file_may_be_allowed_to_bring_code(written) -> None:
    sha256 = '1e' * 32
    entry = 'models: {face_mesh: {primary: tensorrt, host_code_sha256: %s}}'
    assert load_catalog(written(entry % f"'{sha256}'"))['face_mesh'].host_code_sha256 == sha256
    assert load_catalog(written(GOOD))['face_mesh'].host_code_sha256 == ''
    for wrong in ('true', '17', "'abc'", f"'{sha256.upper()}'", f"['{sha256}']"):
        with pytest.raises(
            CatalogError, match=r'face_mesh\.host_code_sha256: expected the SHA-256'
        ):
            load_catalog(written(entry % wrong))
