# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What preflight may meet: modules that are broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


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
