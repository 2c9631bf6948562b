# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Every TensorRT name that the code uses exists in real TensorRT bindings of 10.x and 11.x.

The lean runtime's wheels import without a GPU. They are installed into the cache folder on first
use (two times 45 MB); where there is no network the tests are skipped, except in CI.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aitable_ros.model_zoo.files import locked
from aitable_ros.paths import cache_dir

VERSIONS = ('10.16.1.11', '11.4.0.106')
TESTS = Path(__file__).with_name('test_tensorrt_api.py')


@pytest.fixture(scope='module', params=VERSIONS)
def bindings(request) -> Path:
    """Return a folder with the lean runtime's bindings and libraries of one version."""
    python = f'cp{sys.version_info[0]}{sys.version_info[1]}'
    folder = cache_dir() / 'tensorrt-lean' / f'{request.param}-{python}'
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / '.complete'
    with locked(folder, print):
        if not done.exists():
            packages = [
                f'tensorrt-lean-cu13-{part}=={request.param}' for part in ('bindings', 'libs')
            ]
            command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps']
            command += ['--only-binary=:all:', '--upgrade', '--target', str(folder), *packages]
            pip = subprocess.run(command, capture_output=True, text=True, check=False)
            if pip.returncode != 0:
                reason = f'TensorRT {request.param} cannot be had: {pip.stderr.strip()[-300:]}'
                if os.environ.get('CI'):
                    pytest.fail(reason)
                pytest.skip(reason)
            done.touch()
    return folder


@pytest.mark.timeout(300)
def test_all_that_can_be_checked_without_a_gpu_holds_for_the_real_bindings(bindings):
    environment = {
        **os.environ,
        'PYTHONPATH': f'{bindings}{os.pathsep}{os.environ.get("PYTHONPATH", "")}',
    }
    run = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-rs', '-k', 'real', str(TESTS)],
        env=environment,
        cwd=TESTS.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    # the names, and the log; the third needs a machine without a driver
    assert ' passed' in run.stdout
    assert 'could not import' not in _about('tensorrt_lean_bindings', run.stdout)


def _about(module: str, output: str) -> str:
    return '\n'.join(line for line in output.splitlines() if f"'{module}'" in line)
