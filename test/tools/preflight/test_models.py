# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aitable_ros.tools.preflight.check import Check, Status
from aitable_ros.tools.preflight.models import check_models


@pytest.mark.models
class TestModels:
    @pytest.fixture
    def folder(self, engines_dir: Path, tmp_path: Path) -> Path:
        folder = tmp_path / 'engines'
        folder.mkdir()
        for path in engines_dir.glob('face_mesh.*'):
            if path.suffix != '.engine':
                shutil.copyfile(path, folder / path.name)
        return folder

    @pytest.fixture
    def catalog_file(self, tmp_path: Path) -> Callable[..., Path]:
        def write(required: bool = True) -> Path:
            path = tmp_path / 'models.yaml'
            path.write_text(
                'models:\n  face_mesh:\n    primary: litert\n    fallbacks: [onnxruntime]\n'
                f'    required: {str(required).lower()}\n'
            )
            return path

        return write

    def test_one_that_runs_on_its_primary_backend(
        self, folder: Path, catalog_file: Callable[..., Path]
    ) -> None:
        (check,) = check_models(folder, catalog_file())
        assert check == Check(
            'model face_mesh',
            Status.OK,
            f'runs on litert ({folder}/face_mesh.tflite)',
            details={
                'model': 'face_mesh',
                'required': True,
                'backend': 'litert',
                'file': f'{folder}/face_mesh.tflite',
                'skipped': [],
            },
        )

    def test_one_that_falls_back_says_why(
        self, folder: Path, catalog_file: Callable[..., Path]
    ) -> None:
        (folder / 'face_mesh.tflite').write_bytes(b'damaged')
        (check,) = check_models(folder, catalog_file())
        assert check.status is Status.WARNING
        assert check.summary == f'runs on onnxruntime ({folder}/face_mesh.onnx)'
        assert check.advice.startswith('not on a better one: litert: ')
        assert 'fetch_models face_mesh' in check.advice
        (skipped,) = check.details['skipped']
        assert skipped['backend'] == 'litert'
        assert check.advice == f'not on a better one: litert: {skipped["reason"]}'

    @pytest.mark.parametrize('required', [True, False])
    def test_one_without_files(
        self, required: bool, tmp_path: Path, catalog_file: Callable[..., Path]
    ) -> None:
        (check,) = check_models(tmp_path / 'none', catalog_file(required))
        assert check.status is (Status.ERROR if required else Status.WARNING)
        assert check.advice.startswith('litert: ')
        assert check.details['backend'] is check.details['file'] is None
        assert check.advice.count('face_mesh.') == 2
        assert check.advice.count('fetch_models face_mesh') == 2
        backends = [entry['backend'] for entry in check.details['skipped']]
        assert backends == ['litert', 'onnxruntime']

    def test_one_that_crashes_is_told_apart(
        self, folder: Path, catalog_file: Callable[..., Path], modules: Callable[..., None]
    ) -> None:
        modules('ai_edge_litert.interpreter', 'import os; os.abort()')
        (check,) = check_models(folder, catalog_file())
        assert check.status is Status.ERROR
        assert check.summary == (
            'loading and running it was ended by SIGABRT:'
            ' litert was ended by SIGABRT, onnxruntime works'
        )

    def test_a_wrong_catalog(self, tmp_path: Path) -> None:
        path = tmp_path / 'models.yaml'
        path.write_text('models: {face_mesh: {primary: abacus}}')
        (check,) = check_models(tmp_path, path)
        assert check.status is Status.ERROR
        assert 'models.face_mesh: unknown backend' in check.summary
