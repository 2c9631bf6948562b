#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Write what is declared in the code into README.md, docs/parameters.md, docs/launch_arguments.md,
config/aitable.yaml and config/aitable_expert.yaml.

    scripts/maintenance/update_readme.py            rewrite them
    scripts/maintenance/update_readme.py --check    exit with 1 when they are out of date
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

SWITCH = ('true', 'false')

BASIC_HEADER = """\
# The parameters that people really change, at their defaults. Written from the declarations by
# scripts/maintenance/update_readme.py; docs/parameters.md has all of them, with their ranges, and
# config/aitable_expert.yaml has the others.
#
# /**/NAME: serves the nodes in every namespace, composed or not. A file with what you want to
# change goes to the launch file as params_file:=...
"""
EXPERT_HEADER = """\
# The parameters that config/aitable.yaml leaves out, at their defaults. Written by
# scripts/maintenance/update_readme.py from the declarations; docs/parameters.md has their ranges.
#
# Nothing loads this file unless it is named: keep of a copy what you change, and give both to the
# launch file as params_file:=aitable.yaml,mine.yaml
"""
PARAMETERS_HEADER = """\
# Parameters

Written by `scripts/maintenance/update_readme.py` from the declarations. The **bold** ones are
those that people really change; [config/aitable.yaml](../config/aitable.yaml) has them at their
defaults, and [config/aitable_expert.yaml](../config/aitable_expert.yaml) the others. Nothing loads
the expert file, or a copy of it with your changes, unless it is named:

```sh title="Not run here: needs ROS installed"
ros2 launch aitable_ros aitable.launch.py params_file:=aitable.yaml,expert.yaml
ros2 run aitable_ros fatigue --ros-args --params-file aitable.yaml --params-file expert.yaml
```

Of a parameter that several files name, the last file's value counts. *Dynamic* parameters take
effect on the next frame, *read-only* ones are fixed at start, and the others take effect when the
node is configured or its service `~/reload` is called. A value out of range, or thresholds that
contradict each other, are refused with the reason.
"""
ARGUMENTS_HEADER = """\
# Launch arguments

Written by `scripts/maintenance/update_readme.py` from the declarations.
"""


def main() -> int:
    status = 0
    for name, made in GENERATED.items():
        path, text = ROOT / name, made()
        if '--check' not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(
                f'{name} is out of date: run scripts/maintenance/update_readme.py', file=sys.stderr
            )
            status = 1
    return status


def tables() -> dict[str, tuple[Any, ...]]:
    """Return the parameters of all nodes, and those of every node."""
    from aitable_ros.nodes.registry import NODES
    from aitable_ros.ros_support.node.common_parameters import COMMON_PARAMETERS

    made = {'all nodes': COMMON_PARAMETERS}
    for name, node in NODES.items():
        made[name] = getattr(import_module(node.module), node.class_name).PARAMETERS
    return made


def parameter_file(header: str, *, basic: bool) -> str:
    """Return a parameter file with the basic parameters or the others, with descriptions."""
    common, *nodes = tables().items()
    lines = [header]
    for name, specs in nodes:
        lines += [f'/**/{name}:', '  ros__parameters:']
        group = ''
        for spec in (*common[1], *specs):
            if spec.basic != basic:
                continue
            prefix, _, leaf = spec.name.rpartition('.')
            indent = '      ' if prefix else '    '
            if prefix not in ('', group):
                lines.append(f'    {prefix}:')
            group = prefix
            text = short(spec.description) if basic else spec.description
            if spec.choices:
                text += f' (one of {", ".join(spec.choices)})'
            mark = f'{indent}# '
            lines += textwrap.wrap(text, 99, initial_indent=mark, subsequent_indent=mark)
            lines.append(f'{indent}{leaf}: {json.dumps(spec.default)}')
        lines.append('')
    return '\n'.join(lines)


def readme() -> str:
    """Return README.md with its table of the basic parameters made anew."""
    nodes: dict[tuple[str, ...], list[str]] = {}
    for name, specs in tables().items():
        for spec in specs:
            if spec.basic:
                # what differs from node to node is told by the whole page
                words = re.sub(r'^what runs [^;]*', 'what runs the networks', spec.description)
                name_cell, default, *_ = cells(spec)
                nodes.setdefault((name_cell, default, brief(short(words))), []).append(name)
    rows: list[tuple[str, ...]] = [
        (name, ', '.join(names) if len(names) < 4 else 'all with networks', default, words)
        for (name, default, words), names in nodes.items()
    ]
    made = table(('parameter', 'node', 'default', 'what it does'), rows)
    text, count = re.subn(
        r'(<!-- parameters:basic -->\n).*?(<!-- end -->)',
        lambda match: f'{match[1]}{made}{match[2]}',
        (ROOT / 'README.md').read_text(),
        flags=re.S,
    )
    if count != 1:
        raise SystemExit(f'README.md has {count} places for the basic parameters')
    return text


def parameters_page() -> str:
    """Return docs/parameters.md: every parameter of every node."""
    text = PARAMETERS_HEADER
    for name, specs in tables().items():
        rows: list[tuple[str, ...]] = [
            (f'**{first}**' if spec.basic else first, *rest)
            for spec in specs
            for first, *rest in [cells(spec)]
        ]
        text += f'\n## {name[0].upper() + name[1:] if " " in name else name}\n\n'
        text += table(('parameter', 'default', 'range', 'what it does'), rows)
    return text


def arguments_page() -> str:
    """Return docs/launch_arguments.md: the arguments of every launch file."""
    from aitable_ros.launching.arguments import LAUNCH_FILES

    text = ARGUMENTS_HEADER
    for file, arguments in LAUNCH_FILES.items():
        rows: list[tuple[str, ...]] = []
        for argument in arguments:
            choices = ', '.join(f'`{choice}`' for choice in argument.choices if choice)
            limits = f'. One of {choices}' if choices and argument.choices != SWITCH else ''
            default = 'required' if argument.default is None else code(argument.default)
            rows.append((code(argument.name), default, argument.description + limits))
        text += f'\n## {file}\n\n' + table(('launch argument', 'default', 'meaning'), rows)
    return text


def cells(spec: Any) -> tuple[str, ...]:
    """Return a parameter's row: name, default, range, and what it does."""
    default = str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default)
    limits = ', '.join(code(choice) for choice in spec.choices)
    if spec.limits:
        limits = f'{spec.limits[0]:g} to {spec.limits[1]:g}'
    effect = {'dynamic': ' *Dynamic.*', 'read-only': ' *Read-only.*'}.get(spec.effect, '')
    text = spec.description[0].upper() + spec.description[1:]
    return code(spec.name), code(default), limits, f'{text}.{effect}'


def short(description: str) -> str:
    """Leave out where a default comes from, which stands in brackets at the end."""
    return re.sub(r' \([^()]*: [^()]*\)$', '', description)


def brief(description: str, length: int = 100) -> str:
    """Keep as many clauses, the first at least, as fit into so many characters."""
    kept, *more = description.split('; ')
    for clause in more:
        if len(kept) + len(clause) + 2 > length:
            break
        kept += f'; {clause}'
    return kept


def code(text: str) -> str:
    return f'`{text}`' if text else ''


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f'| {" | ".join(line)} |\n' for line in (head, *rows)]
    return ''.join([lines[0], '|---' * len(head) + '|\n', *lines[1:]])


GENERATED = {
    'README.md': readme,
    'docs/parameters.md': parameters_page,
    'docs/launch_arguments.md': arguments_page,
    'config/aitable.yaml': lambda: parameter_file(BASIC_HEADER, basic=True),
    'config/aitable_expert.yaml': lambda: parameter_file(EXPERT_HEADER, basic=False),
}

if __name__ == '__main__':
    sys.exit(main())
