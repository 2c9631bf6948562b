# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""An engines folder."""

from __future__ import annotations

import shutil

import pytest

from aitable_ros.model_zoo.store import SOURCES


@pytest.fixture
def folder(engines_dir, tmp_path):
    """An engines folder with MediaPipe's networks."""
    for name in SOURCES:
        for suffix in ('.tflite', '.onnx', '.json'):
            shutil.copyfile(engines_dir / f'{name}{suffix}', tmp_path / f'{name}{suffix}')
    return tmp_path
