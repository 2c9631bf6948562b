# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from aitable_ros.tools.support.installed import is_there, version_of


def test_a_module_is_found_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'module_that_crashes.py').write_text('import os; os.abort()')
    assert is_there('module_that_crashes')
    assert not is_there('module_that_is_not_there')


def test_the_version_is_that_of_the_distribution() -> None:
    assert version_of('numpy') == version('numpy')
    assert version_of('no-such-distribution') == ''
