#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Write what is declared in the code into README.md, docs/ and config/aitable.yaml: the tables of
parameters and of launch arguments, and the parameter file.

    scripts/maintenance/update_readme.py            rewrite them
    scripts/maintenance/update_readme.py --check    exit with 1 when they are out of date
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from dataclasses import replace
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

SWITCH = ('true', 'false')

PARAMETER_FILE_HEADER = """\
# Parameters of all aitable nodes, at their defaults. Written from the declarations by
# scripts/maintenance/update_readme.py; `ros2 param describe NODE NAME` gives ranges, too.
#
# /**/NAME: serves the nodes in every namespace, composed or not. A file with what you want to
# change goes to the launch file as params_file:=...
"""


def main() -> int:
    wanted = {
        **argument_pages(),
        ROOT / 'config' / 'aitable.yaml': parameter_file(),
    }
    wanted[ROOT / 'README.md'] = with_tables(wanted[ROOT / 'README.md'])
    status = 0
    for path, text in wanted.items():
        if '--check' not in sys.argv[1:]:
            path.write_text(text)
        elif path.read_text() != text:
            print(
                f'{path.name} is out of date: run scripts/maintenance/update_readme.py',
                file=sys.stderr,
            )
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


def with_table(text: str, marker: str, table: str) -> tuple[str, int]:
    """Return the text with a table made anew wherever its marker is, and how often that was."""
    pattern = rf'(<!-- {re.escape(marker)} -->\n).*?(<!-- end -->)'
    return re.subn(pattern, lambda match: f'{match[1]}{table}{match[2]}', text, flags=re.S)


def with_tables(text: str) -> str:
    """Return the text with every table between its markers made anew."""
    from aitable_ros.ros_support.parameters import COMMON_PARAMETERS

    for name, specs in {'all nodes': COMMON_PARAMETERS, **components()}.items():
        text, count = with_table(text, f'parameters:{name}', parameter_table(specs))
        if count != 1:
            raise SystemExit(f'README.md has {count} places for the parameters of {name}')
    return text


def argument_pages() -> dict[Path, str]:
    """Return README.md and the pages of docs/ with their tables of launch arguments made anew."""
    from aitable_ros.launching.arguments import LAUNCH_FILES

    pages = {path: path.read_text() for path in (ROOT / 'README.md', *ROOT.glob('docs/*.md'))}
    for file in LAUNCH_FILES:
        table = argument_table(file)
        places = 0
        for path, text in pages.items():
            pages[path], count = with_table(text, f'arguments:{file}', table)
            places += count
        if places != 1:
            raise SystemExit(f'there are {places} places for the arguments of {file}')
    return pages


def argument_table(file: str) -> str:
    """Return the table of a launch file's arguments."""
    from aitable_ros.launching.arguments import LAUNCH_FILES

    rows = ['| launch argument | default | meaning |', '|---|---|---|']
    for argument in LAUNCH_FILES[file]:
        default = 'required' if argument.default is None else f'`{argument.default}`'
        if not argument.default:
            default = default.replace('``', '')
        choices = ', '.join(f'`{choice}`' for choice in argument.choices if choice)
        limits = f'. One of {choices}' if choices and argument.choices != SWITCH else ''
        rows.append(f'| `{argument.name}` | {default} | {argument.description}{limits} |')
    return '\n'.join(rows) + '\n'


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
        effect = {'dynamic': ' *Dynamic.*', 'read-only': ' *Read-only.*'}.get(spec.effect, '')
        rows.append(
            f'| `{spec.name}` | `{default!s}` | {text}{limits}{effect} |'.replace('``', '')
        )
    return '\n'.join(rows) + '\n'


if __name__ == '__main__':
    sys.exit(main())
