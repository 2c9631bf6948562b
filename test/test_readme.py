# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""README.md says what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
SCRIPT = runpy.run_path(str(ROOT / 'scripts' / 'maintenance' / 'update_readme.py'))


@pytest.mark.parametrize('name', SCRIPT['GENERATED'])
def test_a_generated_file_is_up_to_date(name):
    if name != 'docs/launch_arguments.md':
        pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    assert (ROOT / name).read_text() == SCRIPT['GENERATED'][name](), 'run scripts/maintenance/update_readme.py'


def test_the_basic_parameters_are_few():
    basic = re.search(r'<!-- parameters:basic -->(.*?)<!-- end -->', README, re.S)[1]
    assert 20 <= len(set(re.findall(r'^\| [\w, ]+ \| `([\w.]+)`', basic, re.M))) <= 30


def test_every_file_it_names_is_there():
    links = re.findall(r'\]\(([^)#:]+)\)', README)
    scripts = re.findall(r'scripts/[\w.]+', README)
    assert len(links) > 5
    for path in {*links, *scripts}:
        assert (ROOT / path).exists(), path


def test_the_index_of_the_docs_has_every_page():
    index = (ROOT / 'docs' / 'README.md').read_text()
    pages = {path.name for path in ROOT.glob('docs/*.md')} - {'README.md'}
    assert pages - set(re.findall(r'\]\(([\w.]+)\)', index)) == set()


@pytest.mark.parametrize('page', sorted(ROOT.glob('docs/*.md')), ids=lambda path: path.name)
def test_every_file_that_a_page_names_is_there(page):
    links = re.findall(r'\]\(([^)#:]+)(?:#[\w-]*)?\)', page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
