# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""EmotiEffLib's networks get aitable's contract; tested with made-up weights of the same shape."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.emotieff import SOURCES, URL, export_emotieff
from aitable_ros.model_zoo.files import ModelFilesError
from aitable_ros.tools.fetch_models import main

WEIGHTS = np.random.default_rng(0).normal(0.0, 1.0, (3, 10)).astype(np.float32)


def network(size, *, outputs=10, batch='batch_size'):
    """Give an ONNX file as the authors' exporter writes it: the mean colour decides."""
    nodes = [
        helper.make_node('GlobalAveragePool', ['input'], ['pooled']),
        helper.make_node('Flatten', ['pooled'], ['flat']),
        helper.make_node('MatMul', ['flat', 'weights'], ['output']),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        'main_graph',
        [value('input', onnx.TensorProto.FLOAT, [batch, 3, size, size])],
        [value('output', onnx.TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(WEIGHTS[:, :outputs], 'weights')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 11)], ir_version=6)
    return model.SerializeToString()


@pytest.fixture
def given(tmp_path):
    """Return a function that writes a file as it is given by hand."""

    def write(name='emotieff', content=None):
        path = tmp_path / SOURCES[name].file
        path.write_bytes(network(SOURCES[name].size_px) if content is None else content)
        return path

    return write


@pytest.mark.parametrize('name', list(SOURCES))
def test_the_picture_goes_in_and_named_numbers_come_out(given, tmp_path, name):
    export_emotieff(given(name), tmp_path / 'engines', name=name, progress=lambda _: None)
    spec, source = CONTRACTS[name], SOURCES[name]
    images = np.random.default_rng(1).integers(0, 256, (4, *spec.inputs[0].shape[1:]), np.uint8)
    with OnnxRuntimeEngine(spec, tmp_path / 'engines' / f'{name}.onnx') as engine:
        found = engine.infer({'image': images})
    normal = (images / 255.0 - source.mean) / source.std
    expected = normal.mean(axis=(1, 2)) @ WEIGHTS
    np.testing.assert_allclose(found['expression'], expected[:, :8], atol=1e-4)
    np.testing.assert_allclose(found['valence'], expected[:, 8:9], atol=1e-4)
    np.testing.assert_allclose(found['arousal'], expected[:, 9:], atol=1e-4)


def test_a_file_made_for_one_picture_takes_batches_where_it_can(given, tmp_path):
    path = given(content=network(224, batch=1))
    export_emotieff(path, tmp_path / 'engines', progress=lambda _: None)
    images = np.zeros((2, 224, 224, 3), np.uint8)
    with OnnxRuntimeEngine(CONTRACTS['emotieff'], tmp_path / 'engines/emotieff.onnx') as engine:
        assert engine.infer({'image': images})['expression'].shape == (2, 8)


def test_the_record_says_whose_it_is(given, tmp_path):
    path = given()
    export_emotieff(path, tmp_path / 'engines', progress=lambda _: None)
    record = json.loads((tmp_path / 'engines/emotieff.json').read_text())
    assert record['licence'] == 'Apache-2.0'
    assert 'Savchenko' in record['attribution']
    assert record['source']['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'no network', 'not an ONNX file|expected one input'),
        (network(112), r'expected one input \[N,3,224,224\] and one output \[N,10\]'),
        (network(224, outputs=8), r'one output \[N,10\]'),
    ],
)
def test_another_network_is_refused_and_nothing_stored(given, tmp_path, content, reason):
    with pytest.raises(ModelFilesError, match=reason):
        export_emotieff(given(content=content), tmp_path / 'engines', progress=lambda _: None)
    assert not (tmp_path / 'engines').exists()


def test_where_it_is_fetched_from_is_pinned():
    assert '/520a051c64cd191521e5934655314e769a319684/' in URL
    assert all(len(source.sha256) == 64 for source in SOURCES.values())


def test_fetch_models_takes_a_file_that_was_brought_by_hand(given, tmp_path, capsys):
    folder = tmp_path / 'engines'
    arguments = ['emotieff', '--from', str(given()), '--engines-dir', str(folder)]
    assert main(arguments) == 0
    assert (folder / 'emotieff.onnx').is_file()
    assert 'emotieff: in' in capsys.readouterr().out
