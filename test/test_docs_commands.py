# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Every command of README.md, CONTRIBUTING.md and docs/ can be given as it stands there.

A block of commands is run by ``test_a_block_runs``, in a folder with a recording and parameter
files of the names that the pages use, or its title says why not: ``sh title="Not run here: …"``.
Whether run or not, aitable's own commands are checked: options by the program's own parser, launch
arguments and node parameters by their declarations. Running takes minutes: AITABLE_RUN_DOCS=1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from aitable_ros.nodes.registry import NODES, PLUGINS

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted(ROOT.glob('docs/*.md')))
EXECUTABLES = dict(
    re.findall(r"'(\w+) = (aitable_ros\.[\w.]+):main", (ROOT / 'setup.py').read_text())
)
CONTAINERS = ('component_container', 'component_container_mt')
RUNS = re.compile(r'python3? -m aitable_ros\.|ros2 run aitable_ros |scripts/|ros2 launch aitable')


class Block(NamedTuple):
    """Commands of a page; ``reason``: why they are not run."""

    page: str
    text: str
    reason: str | None

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each command; what a shell would expand stands as it is."""
        for line in self.text.replace('\\\n', ' ').splitlines():
            for part in re.split(r'&&|;', line.partition(' #')[0]):
                if RUNS.search(part) and '$(' not in part:
                    words = shlex.split(part, comments=True)
                    yield [word for word in words if not re.match(r'[A-Z_]+=', word)]


def blocks() -> list[Block]:
    fence = re.compile(
        r'^```(?:sh|bash)(?: title="Not run here: ([^"\n]+)")?\n(.*?)^```',
        re.MULTILINE | re.DOTALL,
    )
    return [
        Block(path.name, match[2], match[1])
        for path in PAGES
        for match in fence.finditer(path.read_text())
    ]


BLOCKS = blocks()
TO_RUN = [block for block in BLOCKS if block.reason is None]
COMMANDS = [(block.page, words) for block in BLOCKS for words in block.commands()]


def test_blocks_are_found_and_none_is_marked_in_another_way():
    fences = sum(len(re.findall(r'^```(?:sh|bash)', p.read_text(), re.M)) for p in PAGES)
    assert len(BLOCKS) == fences > 40
    assert len(TO_RUN) >= 6
    assert len(COMMANDS) > 60


@pytest.mark.parametrize(('page', 'words'), COMMANDS, ids=[' '.join(w)[:60] for _, w in COMMANDS])
def test_a_command_is_understood(page, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('aitable.yaml', 'expert.yaml', 'mine.yaml'):
        shutil.copy(ROOT / 'config' / 'aitable.yaml', name)
    if words[:2] == ['ros2', 'launch']:
        _check_launch(words[3], words[4:])
    elif words[0].startswith('scripts/') or words[0] == 'source':
        assert (ROOT / words[-1 if words[0] == 'source' else 0]).is_file()
        if words[0] == 'scripts/demo.sh':
            _check_tool('aitable_ros.tools.demo', words[1:], monkeypatch)
    elif words[0].startswith('python') and words[1].startswith('scripts/'):
        assert (ROOT / words[1]).is_file()
    else:
        _check_program(words, monkeypatch)


@pytest.mark.skipif(
    'AITABLE_RUN_DOCS' not in os.environ, reason='takes minutes: AITABLE_RUN_DOCS=1'
)
@pytest.mark.timeout(600)
@pytest.mark.parametrize('block', TO_RUN, ids=[f'{b.page}-{b.text[:40]!r}' for b in TO_RUN])
def test_a_block_runs(block, docs_folder):
    """As it stands; only `ros2 run` is ours where there is no ros2."""
    environment = {**os.environ, 'PATH': f'{docs_folder}/bin:{os.environ["PATH"]}'}
    ended = subprocess.run(
        ['bash', '-e', '-o', 'pipefail', '-c', block.text],
        cwd=docs_folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # preflight's warnings, as of a machine without GPU, are no failure
    allowed = (0, 1) if 'preflight' in block.text else (0,)
    assert ended.returncode in allowed, (ended.stdout + ended.stderr)[-3000:]


@pytest.fixture(scope='session')
def docs_folder(tmp_path_factory):
    """A folder with what the pages name: a recording, pictures, parameter files, the scripts."""
    folder = tmp_path_factory.mktemp('docs')
    for name in ('scripts', 'docs', 'requirements', 'aitable_ros', 'config', 'package.xml'):
        (folder / name).symlink_to(ROOT / name)
    for name in ('aitable.yaml', 'mine.yaml'):
        shutil.copy(ROOT / 'config' / 'aitable.yaml', folder / name)
    (folder / 'bin').mkdir()
    ros2 = folder / 'bin' / 'ros2'
    cases = ''.join(f'  {name}) module={module} ;;\n' for name, module in EXECUTABLES.items())
    ros2.write_text(
        f'#!/bin/bash\nset -e\n[[ "$1 $2" == "run aitable_ros" ]]\ncase $3 in\n{cases}esac\n'
        f'exec {sys.executable} -m "$module" "${{@:4}}"\n'
    )
    ros2.chmod(0o755)
    tool = [sys.executable, '-m', 'aitable_ros.tools.sample_bag']
    for bag in ('session.mcap', 'session'):
        run = [*tool, bag, '--images', 'both', '--seconds', '2']
        subprocess.run(run, cwd=folder, check=True, capture_output=True)
    return folder


def _check_program(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if words[:3] == ['ros2', 'run', 'aitable_ros']:
        name, arguments = words[3], words[4:]
        module = NODES[name].module if name in NODES else EXECUTABLES.get(name, name)
    else:
        module, arguments = words[2], words[3:]
    if '.nodes.' in module:
        _check_node(module, arguments)
    else:
        _check_tool(module, arguments, monkeypatch)


class _ParsedError(Exception):
    pass


def _check_tool(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program parse its arguments, and no more."""
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise _ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', only_parse)
    file = module.replace('.', '/')
    command = f'{module}.command' if (ROOT / file).is_dir() else module
    with pytest.raises(_ParsedError):
        importlib.import_module(command).main(arguments)


def _check_node(module: str, arguments: list[str]) -> None:
    """Let rcl parse the arguments; the parameters have to be declared."""
    rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    context = rclpy.context.Context()
    rclpy.init(args=['node', *arguments], context=context)
    context.try_shutdown()
    given = {
        word.partition(':=')[0] for flag, word in pairwise(arguments) if flag in ('-p', '--param')
    }
    names = {'components', 'threads'}
    for node in NODES.values():
        if node.module == module:
            node_class = getattr(importlib.import_module(module), node.class_name)
            names = {spec.name for spec in node_class.PARAMETERS}
    assert given <= names
    for word in arguments:
        for plugin in re.findall(r'aitable_ros::\w+', word):
            assert plugin in PLUGINS


def _check_launch(file: str, arguments: list[str]) -> None:
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    from aitable_ros.launching.arguments import LAUNCH_FILES

    known = {argument.name: argument for argument in LAUNCH_FILES[file]}
    for word in arguments:
        if word in ('-s', '--show-args'):
            continue
        name, _, value = word.partition(':=')
        assert name in known, name
        choices = known[name].choices
        assert not choices or value in choices, word
