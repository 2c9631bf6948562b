# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The site of the documentation is built without a warning, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip('mkdocs', reason='mkdocs is not installed: scripts/test.sh --optional')
pytest.importorskip('mkdocstrings', reason='mkdocstrings is not installed')

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The folder of the site."""
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '-d', str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_link_of_the_built_pages_leads_somewhere(site):
    """Those of the theme and of docstrings, too."""
    pages = sorted(page for page in site.rglob('*.html') if page.name != '404.html')
    assert len(pages) > 60
    missing = [
        (page.relative_to(site).as_posix(), link)
        for page in pages
        for link in re.findall(r'(?:href|src)="([^"#:?]+)[#?"]', page.read_text())
        if not (page.parent / unquote(link)).exists()
    ]
    assert missing == []


def test_messages_nodes_and_docstrings_are_on_it(site):
    for message in (ROOT / 'aitable_msgs' / 'msg').glob('*.msg'):
        page = site / 'files' / 'aitable_msgs' / 'msg' / message.name / 'index.html'
        assert message.stem in page.read_text()
    api = (site / 'api' / 'perception' / 'index.html').read_text()
    assert 'id="aitable_ros.perception.fatigue.observer.FatigueObserver"' in api
    assert 'eyes_closed' in (site / 'files/aitable_msgs/msg/Fatigue.msg/index.html').read_text()
