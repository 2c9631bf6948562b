# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""README.md says what the code does."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()


def test_parameter_tables_and_file_are_up_to_date():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    script = ROOT / 'scripts' / 'maintenance' / 'update_readme.py'
    checked = subprocess.run(
        [sys.executable, str(script), '--check'], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_every_file_it_names_is_there():
    links = re.findall(r'\]\(([^)#:]+)\)', README)
    scripts = re.findall(r'scripts/[\w./]+', README)
    assert len(links) > 5
    for path in {*links, *scripts}:
        assert (ROOT / path).exists(), path


def test_the_tables_of_launch_arguments_are_up_to_date():
    script = runpy.run_path(str(ROOT / 'scripts' / 'maintenance' / 'update_readme.py'))
    for path, text in script['argument_pages']().items():
        assert path.read_text() == text, f'{path.name}: run scripts/maintenance/update_readme.py'


def test_the_index_of_the_docs_has_every_page():
    index = (ROOT / 'docs' / 'README.md').read_text()
    pages = {path.name for path in ROOT.glob('docs/*.md')} - {'README.md'}
    assert pages - set(re.findall(r'\]\(([\w.]+)\)', index)) == set()


@pytest.mark.parametrize('page', sorted(ROOT.glob('docs/*.md')), ids=lambda path: path.name)
def test_every_file_that_a_page_names_is_there(page):
    links = re.findall(r'\]\(([^)#:]+)(?:#[\w-]*)?\)', page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
