# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Every module that is named in a string is there, with the attribute named after the colon."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import setuptools

from aitable_ros.nodes.registry import NODES

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r'aitable_ros(\.\w+)+(:\w+)?')
OPTIONAL = {'rclpy', 'torch', 'pycuda', 'tensorrt', 'launch', 'launch_ros', 'ncnn', 'onnxruntime'}
"""Runtimes that an installation may do without."""

# named for what they are not: modules
FILES = re.compile(r'\.(py|yaml|json|html|log)$')


def strings() -> Iterator[str]:
    sources = [ROOT / 'setup.py']
    for folder in ('aitable_ros', 'scripts', 'launch'):
        sources += (ROOT / folder).rglob('*.py')
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def entry_points() -> Iterator[str]:
    given: dict[str, dict[str, list[str]]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, 'setup', lambda **arguments: given.update(arguments))
        runpy.run_path(str(ROOT / 'setup.py'))
    for points in given['entry_points'].values():
        yield from (point.split(' = ')[1] for point in points)


def named() -> list[str]:
    """The names that stand in the sources, and those that setup.py and the registry compose."""
    found = {text for text in strings() if NAME.fullmatch(text) and not FILES.search(text)}
    return sorted(found | set(entry_points()) | {node.path for node in NODES.values()})


@pytest.mark.parametrize('name', named())
def test_is_there(name: str) -> None:
    module_name, _, attribute = name.partition(':')
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] not in OPTIONAL:
            raise
        pytest.skip(f'{error.name} is not installed')
    assert not attribute or hasattr(module, attribute)
