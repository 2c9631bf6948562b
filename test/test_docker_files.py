# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The files of docker/, as far as they can be looked at without Docker; rehearse.sh runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / 'docker'
FILES = sorted(DOCKER.glob('Dockerfile.*'))
BASES = ['cpu', 'cuda', 'jetpack6', 'jetpack7']


def test_there_is_one_for_each_base():
    assert [path.suffix[1:] for path in FILES] == BASES


def test_they_end_alike():
    """What differs is the base and where TensorRT comes from."""
    assert (
        len({path.read_text().partition('\nFROM packages AS build\n')[2] for path in FILES}) == 1
    )


@pytest.mark.parametrize('path', FILES, ids=BASES)
def test_what_is_copied_is_there_and_not_ignored(path):
    ignored = [
        line
        for line in (ROOT / '.dockerignore').read_text().splitlines()
        if line and not line.startswith(('#', '!'))
    ]
    for names in re.findall(r'^COPY (?!--)(.+) \S+$', path.read_text(), re.MULTILINE):
        for name in names.split():
            assert (ROOT / name).exists(), name
            assert not any(fnmatch(name, pattern) for pattern in ignored), name


@pytest.mark.parametrize('path', FILES, ids=BASES)
def test_the_nodes_do_not_run_as_root(path):
    last = path.read_text().rpartition('\nFROM ')[2]
    assert re.search(r'^USER 10001:10001$', last, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .*/healthcheck.sh', last, re.MULTILINE)
    assert '--uid 10001' in (DOCKER / 'install.sh').read_text()


def test_the_compose_file():
    services = yaml.safe_load((DOCKER / 'compose.yaml').read_text())['services']
    nodes = services['nodes']
    assert nodes['read_only'] is True
    assert nodes['shm_size'] == '256mb'
    assert nodes['cap_drop'] == ['ALL']
    assert nodes['volumes'] == ['engines:/var/lib/aitable/engines']
    assert services['camera']['devices'] == ['${AITABLE_CAMERA:-/dev/video0}:/dev/video0']
    known = set(re.findall(r'AITABLE_\w+', (DOCKER / 'entrypoint.sh').read_text()))
    assert {'AITABLE_SOURCE'} <= known & set(nodes['environment'])


@pytest.mark.parametrize(('tool', 'files'), [('hadolint', FILES), ('shellcheck', None)])
def test_linters_find_nothing(tool, files):
    if (program := shutil.which(tool)) is None:
        pytest.skip(f'{tool} is not installed: scripts/test.sh --optional')
    arguments = files or ['-x', *DOCKER.glob('*.sh'), *ROOT.glob('scripts/maintenance/*.sh')]
    found = subprocess.run(
        [program, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
