# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Print the part of a lock file that this Python environment lacks.

    python scripts/maintenance/select_requirements.py requirements/ros.in requirements/ros.lock

A requirement of the first file counts as there when its module can be imported, whoever installed
it (apt, JetPack, pip). What is missing is printed with everything below it, as the comments
``# via`` of the lock tell, in the form that ``pip install --require-hashes --no-deps`` takes.
Prints nothing when nothing is missing.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path

# Modules whose names do not follow from the package's.
MODULES = {
    'backports-strenum': 'backports.strenum',
    'scikit-image': 'skimage',
}
# Packages that another one on the same machine does the work of.
NO_MODULE = {'types-pyyaml': 'mypy', 'backports-strenum': 'ai_edge_litert'}

_NAME = re.compile(r'^([A-Za-z0-9][A-Za-z0-9._-]*)')


def normalized(name: str) -> str:
    """Return a package's name as the index knows it (PEP 503)."""
    return re.sub(r'[-_.]+', '-', name).lower()


def requirement_names(text: str) -> list[str]:
    """Return the names of the packages that a requirements file asks for, without its comments."""
    matches = (_NAME.match(line.strip()) for line in text.splitlines())
    return [normalized(match[1]) for match in matches if match]


def parse_lock(text: str) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """
    Read a lock file written by ``uv pip compile``.

    :param text: the file's text.
    :returns: the lines of each package (a package can be locked once for each Python version), and
        for each package the names of those that need it.
    """
    lines: dict[str, list[str]] = {}
    parents: dict[str, set[str]] = {}
    name = ''
    for line in text.splitlines():
        match = _NAME.match(line)
        if match:
            name = normalized(match[1])
            lines.setdefault(name, [])
            parents.setdefault(name, set())
        if not name:
            continue
        comment = re.match(r'^\s+#\s+(?:via\s+)?(\S.*)$', line)
        if comment:
            if comment[1] != 'via' and not comment[1].startswith('-r '):
                parents[name].add(normalized(comment[1].split()[0]))
        elif line.strip() and not line.startswith('#'):
            lines[name].append(line)
    return lines, parents


def closure(wanted: set[str], parents: dict[str, set[str]]) -> set[str]:
    """Return the wanted packages and all that they need, directly or not."""
    chosen = set(wanted)
    while True:
        more = {name for name, needed_by in parents.items() if needed_by & chosen} - chosen
        if not more:
            return chosen
        chosen |= more


def can_import(package: str) -> bool:
    """Tell whether the module of a package is there, without importing it."""
    module = NO_MODULE.get(package) or MODULES.get(package, package.replace('-', '_'))
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def select(
    requirements: str, lock: str, is_there: Callable[[str], bool] = can_import
) -> list[str]:
    """
    Choose the lines of a lock file to install.

    :param requirements: text of the file that lists what is wanted.
    :param lock: text of the lock made from it.
    :param is_there: tells whether a wanted package need not be installed.
    :returns: lines of the lock; none when everything wanted is there.
    """
    lines, parents = parse_lock(lock)
    missing = {
        name for name in requirement_names(requirements) if name in lines and not is_there(name)
    }
    return [line for name in sorted(closure(missing, parents)) for line in lines[name]]


def main() -> int:
    """Print what is missing."""
    requirements, lock = (Path(path).read_text(encoding='utf-8') for path in sys.argv[1:3])
    for line in select(requirements, lock):
        print(line)
    return 0


if __name__ == '__main__':
    sys.exit(main())
