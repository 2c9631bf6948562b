# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of preflight share: Pythons that lack something, or have it broken."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitable_ros.tools.preflight_check import Check

ROOT = Path(__file__).resolve().parents[1]


def only(checks: list[Check]) -> Check:
    (check,) = checks
    return check


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module that is found before an installed one of its name."""
    folder = tmp_path / 'modules'
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(name: str, text: str) -> None:
        path = folder.joinpath(*name.split('.')).with_suffix('.py')
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent != folder:
            (path.parent / '__init__.py').touch()
        path.write_text(text)

    return write


@pytest.fixture(scope='module')
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a Python that has nothing but aitable's sources."""
    folder = tmp_path_factory.mktemp('venv')
    venv.create(folder, with_pip=False)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(folder / 'bin' / 'python'), *arguments],
            env={'PYTHONPATH': str(ROOT), 'HOME': str(folder), 'PATH': '/usr/bin:/bin'},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
