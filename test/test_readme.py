# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""README.md says what the code does."""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
PAGES = (ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted(ROOT.glob('docs/*.md')))


def test_parameter_tables_and_file_are_up_to_date():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    script = ROOT / 'scripts' / 'update_readme.py'
    checked = subprocess.run(
        [sys.executable, str(script), '--check'], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_it_is_short():
    assert len(README.encode()) <= 9000


def test_the_tables_of_launch_arguments_are_up_to_date():
    script = runpy.run_path(str(ROOT / 'scripts' / 'update_readme.py'))
    for path, text in script['argument_pages']().items():
        assert path.read_text() == text, f'{path.name}: run scripts/update_readme.py'


def test_the_index_of_the_docs_has_every_page():
    index = (ROOT / 'docs' / 'README.md').read_text()
    pages = {path.name for path in ROOT.glob('docs/*.md')} - {'README.md'}
    assert pages - set(re.findall(r'\]\(([\w.]+)\)', index)) == set()


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    links = re.findall(r'\]\(([^):]+)\)', page.read_text())
    assert [link for link in links if not _is_there(page, link)] == []


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_it_names_is_there(page):
    text = page.read_text()
    executables = re.findall(r"'(\w+) = aitable_ros\.", (ROOT / 'setup.py').read_text())
    scripts = re.findall(r'(?<!/)\bscripts/[\w./]*\w', text)
    assert {path for path in scripts if not (ROOT / path).exists()} == set()
    assert set(re.findall(r'ros2 run aitable_ros (\w+)', text)) <= set(executables)
    modules = re.findall(r'python3? -m (aitable_ros[\w.]*\w)', text)
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


def _is_there(page: Path, link: str) -> bool:
    name, _, anchor = link.partition('#')
    path = page.parent / name if name else page
    if not anchor or not path.exists():
        return path.exists()
    titles = re.findall(r'^#+ (.*)$', path.read_text(), re.MULTILINE)
    return anchor in {re.sub(r'[^\w -]', '', title).lower().replace(' ', '-') for title in titles}
