# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""README.md says what the code does."""

from __future__ import annotations

import importlib.util
import re
import runpy
from pathlib import Path

import pytest

from aitable_ros.nodes.registry import NODES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
SCRIPT = runpy.run_path(str(ROOT / 'scripts' / 'maintenance' / 'update_readme.py'))
LINK = r'\]\(([^):]+)\)'
PAGES = (ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted(ROOT.glob('docs/*.md')))


@pytest.mark.parametrize('name', SCRIPT['GENERATED'])
def test_a_generated_file_is_up_to_date(name):
    if name != 'docs/launch_arguments.md':
        pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    assert (ROOT / name).read_text() == SCRIPT['GENERATED'][name](), (
        'run scripts/maintenance/update_readme.py'
    )


def test_the_basic_parameters_are_few():
    basic = re.search(r'<!-- parameters:basic -->(.*?)<!-- end -->', README, re.S)[1]
    assert 20 <= len(set(re.findall(r'^\| `([\w.]+)`', basic, re.M))) <= 30


def test_it_is_short():
    assert len(README.encode()) <= 9200


def test_the_index_of_the_docs_has_every_page():
    index = (ROOT / 'docs' / 'README.md').read_text()
    pages = {path.name for path in ROOT.glob('docs/*.md')} - {'README.md'}
    assert pages - set(re.findall(r'\]\(([\w.]+)\)', index)) == set()


def test_every_link_leads_somewhere():
    links = [(page, link) for page in PAGES for link in re.findall(LINK, page.read_text())]
    assert [(page.name, link) for page, link in links if not _is_there(page, link)] == []


def test_every_command_they_name_is_there():
    text = '\n'.join(page.read_text() for page in PAGES)
    executables = re.findall(r"'(\w+) = aitable_ros\.", (ROOT / 'setup.py').read_text())
    scripts = re.findall(r'(?<!/)\bscripts/[\w./]*\w', text)
    assert {path for path in scripts if not (ROOT / path).exists()} == set()
    assert set(re.findall(r'ros2 run aitable_ros (\w+)', text)) <= {*executables, *NODES}
    modules = re.findall(r'python3? -m (aitable_ros[\w.]*\w)', text)
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


def _is_there(page: Path, link: str) -> bool:
    name, _, anchor = link.partition('#')
    path = page.parent / name if name else page
    if not anchor or not path.exists():
        return path.exists()
    titles = re.findall(r'^#+ (.*)$', path.read_text(), re.MULTILINE)
    return anchor in {re.sub(r'[^\w -]', '', title).lower().replace(' ', '-') for title in titles}
