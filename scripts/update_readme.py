#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the parameter tables of README.md from the declarations in the code.

    scripts/update_readme.py            rewrite them
    scripts/update_readme.py --check    exit with 1 when they are out of date
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main() -> int:
    readme = ROOT / 'README.md'
    text = readme.read_text()
    updated = with_tables(text)
    if '--check' in sys.argv[1:]:
        if updated != text:
            print('README.md is out of date: run scripts/update_readme.py', file=sys.stderr)
        return int(updated != text)
    readme.write_text(updated)
    return 0


def with_tables(text: str) -> str:
    """Return the text with every table between its markers made anew."""
    from aitable_ros.nodes.component_container import COMPONENTS

    for name, path in COMPONENTS.items():
        module, class_name = path.split(':')
        table = parameter_table(getattr(import_module(module), class_name).PARAMETERS)
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
        text = spec.description[0].upper() + spec.description[1:] + '.'
        effect = ' *Dynamic.*' if spec.dynamic else ''
        rows.append(
            f'| `{spec.name}` | `{default!s}` | {text}{limits}{effect} |'.replace('``', '')
        )
    return '\n'.join(rows) + '\n'


if __name__ == '__main__':
    sys.exit(main())
