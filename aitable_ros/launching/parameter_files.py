# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What a parameter file says about one node.

A node that is loaded into a running container gets its parameters in the request, and launch_ros
takes only exact node names and ``/**`` from a file, not the wildcards (``/**/face_detection``)
that a process's own ``--params-file`` understands. This module understands them too, so that a
file means the same either way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML with ``1e-3`` as a number, which rcl's parser reads so and PyYAML does not."""


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+'),
    list('-+0123456789.'),
)


def parameters_for(path: Path, node: str) -> dict[str, Any]:
    """
    Read the parameters that a file gives to a node.

    Where several entries of the file match the node, the later one counts, as in rcl. Empty lists
    are left out: rcl, too, cannot tell their type and leaves the parameter at its default.

    :param path: the parameter file.
    :param node: fully qualified name, ``/table/face_detection``.
    :returns: values by parameter name, groups joined by dots.
    :raises ValueError: when the file is no parameter file; names the file and the place.
    """
    try:
        document = yaml.load(path.read_text(encoding='utf-8'), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is no YAML file: {error}') from None
    chosen: dict[str, Any] = {}
    for pattern, parameters in _entries(document if document is not None else {}, (), path):
        if _matches(pattern, tuple(node.strip('/').split('/'))):
            chosen.update(_flat(parameters, '', path))
    return chosen


def _entries(
    tree: Any, above: tuple[str, ...], path: Path
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    where = '/' + '/'.join(above)
    if not isinstance(tree, Mapping):
        raise ValueError(f'{path}: {where} has no ros__parameters')
    for key, below in tree.items():
        if key != 'ros__parameters':
            parts = tuple(part for part in str(key).split('/') if part)
            yield from _entries(below, above + parts, path)
        elif isinstance(below, Mapping):
            yield above, below
        else:
            raise ValueError(f'{path}: ros__parameters of {where} is no mapping')


def _matches(pattern: tuple[str, ...], tokens: tuple[str, ...]) -> bool:
    """Match names of nodes: ``*`` is one token, ``**`` any number of them."""
    if not pattern:
        return not tokens
    if pattern[0] == '**':
        return any(_matches(pattern[1:], tokens[n:]) for n in range(len(tokens) + 1))
    return bool(tokens) and pattern[0] in ('*', tokens[0]) and _matches(pattern[1:], tokens[1:])


def _flat(tree: Mapping[str, Any], prefix: str, path: Path) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f'{prefix}{key}'
        if isinstance(value, Mapping):
            yield from _flat(value, f'{name}.', path)
        elif value is None:
            raise ValueError(f'{path}: {name} has no value')
        elif value != []:
            yield name, value
