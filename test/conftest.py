# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the catalog and the model files, fetched on first use."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import pytest

from aitable_ros import paths
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.model_zoo.catalog import load_catalog
from aitable_ros.model_zoo.store import SOURCES, ensure_models


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
def tflite_dir(engines_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the .tflite files under the names that they have in the MediaPipe wheel."""
    folder = tmp_path_factory.mktemp('tflite')
    for name, member in SOURCES.items():
        shutil.copyfile(engines_dir / f'{name}.tflite', folder / Path(member.path).name)
    return folder


@pytest.fixture(scope='session')
def mediapipe_wheel() -> Path:
    """The MediaPipe wheel, in the cache of this machine; downloaded if it is not there."""
    from aitable_ros.model_zoo.download import fetch_wheel

    return fetch_wheel()
