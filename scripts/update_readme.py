#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the parameter tables of README.md and config/aitable.yaml from the declarations in the code.

    scripts/update_readme.py            rewrite them
    scripts/update_readme.py --check    exit with 1 when they are out of date
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from dataclasses import replace
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PARAMETER_FILE_HEADER = """\
# Parameters of all aitable nodes, at their defaults. Written by scripts/update_readme.py from the
# declarations; `ros2 param describe NODE NAME` gives ranges, too.
#
# /**/NAME: serves the nodes in every namespace, composed or not. A file with what you want to
# change goes to the launch file as params_file:=...
"""


def main() -> int:
    wanted = {
        ROOT / 'README.md': with_tables((ROOT / 'README.md').read_text()),
        ROOT / 'config' / 'aitable.yaml': parameter_file(),
    }
    status = 0
    for path, text in wanted.items():
        if '--check' not in sys.argv[1:]:
            path.write_text(text)
        elif path.read_text() != text:
            print(f'{path.name} is out of date: run scripts/update_readme.py', file=sys.stderr)
            status = 1
    return status


def components() -> dict[str, tuple]:
    """Return the parameter table of every node."""
    from aitable_ros.nodes.component_container import COMPONENTS

    tables = {}
    for name, path in COMPONENTS.items():
        module, class_name = path.split(':')
        tables[name] = getattr(import_module(module), class_name).PARAMETERS
    return tables


def parameter_file() -> str:
    """Return config/aitable.yaml: every parameter at its default, with its description."""
    from aitable_ros.ros_support.parameters import COMMON_PARAMETERS

    lines = [PARAMETER_FILE_HEADER]
    for name, specs in components().items():
        lines += [f'/**/{name}:', '  ros__parameters:']
        group = ''
        for spec in (*COMMON_PARAMETERS, *specs):
            prefix, _, leaf = spec.name.rpartition('.')
            indent = '      ' if prefix else '    '
            if prefix != group:
                group = prefix
                if prefix:
                    lines.append(f'    {prefix}:')
            text = spec.description
            if spec.choices:
                text += ' (one of ' + ', '.join(spec.choices) + ')'
            lines += textwrap.wrap(
                text, 99, initial_indent=f'{indent}# ', subsequent_indent=f'{indent}# '
            )
            lines.append(f'{indent}{leaf}: {json.dumps(spec.default)}')
        lines.append('')
    return '\n'.join(lines)


def with_tables(text: str) -> str:
    """Return the text with every table between its markers made anew."""
    for name, specs in components().items():
        table = parameter_table(specs)
        pattern = rf'(<!-- parameters:{name} -->\n).*?(<!-- end -->)'
        text, count = re.subn(
            pattern, lambda m, table=table: m[1] + table + m[2], text, flags=re.S
        )
        if count != 1:
            raise SystemExit(f'README.md has {count} places for the parameters of {name}')
    return text


def parameter_table(specs: tuple) -> str:
    rows = ['| parameter | default | what it does |', '|---|---|---|']
    for spec in specs:
        default = repr(spec.default).lower() if isinstance(spec.default, bool) else spec.default
        limits = ''
        if spec.choices:
            limits = ' One of ' + ', '.join(f'`{choice}`' for choice in spec.choices) + '.'
        elif spec.minimum is not None:
            limits = f' Range {spec.minimum:g} to {spec.maximum:g}.'
        if spec.description.startswith('...'):
            spec = replace(spec, description='(see above) ' + spec.description)
        text = spec.description[0].upper() + spec.description[1:] + '.'
        effect = ' *Dynamic.*' if spec.dynamic else ''
        rows.append(
            f'| `{spec.name}` | `{default!s}` | {text}{limits}{effect} |'.replace('``', '')
        )
    return '\n'.join(rows) + '\n'


if __name__ == '__main__':
    sys.exit(main())
