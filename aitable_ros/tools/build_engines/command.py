# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Build the TensorRT engines of aitable's networks, for this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from aitable_ros import paths
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.gate import local_gpu
from aitable_ros.inference.tensorrt.runtime import MODULES, RTX_MODULES, load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import EngineSidecar, Gpu, read_sidecar
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building.build_options import (
    FORMS,
    PRECISIONS,
    BuildOptions,
    EngineBuildError,
    batch_profiles,
    options_for,
)
from aitable_ros.model_zoo.engine_building.engine_builder import (
    BuildRequest,
    trtexec_command,
)
from aitable_ros.model_zoo.engine_building.rtx_builder import (
    BY_DEFAULT,
    RtxBuildRequest,
    targets_for,
)
from aitable_ros.model_zoo.files import ModelFilesError, megabytes, print_report, write_atomically
from aitable_ros.model_zoo.store import SOURCES, ensure_models
from aitable_ros.tools.build_engines.run import INTERRUPTED, build_all, set_up_logging


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0 when all engines asked for are there, 1 when one is not, 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    set_up_logging(arguments.verbose)
    folder = paths.engines_dir(arguments.engines_dir)
    try:
        requests = _requests(arguments, folder)
        if arguments.list:
            print(_table(requests, folder))
            return 0
        own = [r.name for r in requests if r.onnx_file is None and r.name in SOURCES]
        ensure_models(own, folder, progress=print_report)
        if arguments.dry_run or arguments.save_onnx:
            return max([_describe(request, arguments) for request in requests], default=0)
        return build_all(requests, folder, arguments.verbose)
    except (EngineBuildError, ModelFilesError) as error:
        print(f'build_engines: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('build_engines: interrupted; engines that were there are as before', file=sys.stderr)
        return INTERRUPTED


def _requests(arguments: argparse.Namespace, folder: Path) -> list[BuildRequest]:
    if arguments.onnx is not None and len(arguments.models) != 1:
        raise EngineBuildError('--onnx needs the name of exactly one model')
    names = arguments.models or _available(folder)
    for name in names:
        if name not in CONTRACTS and arguments.onnx is None:
            raise EngineBuildError(
                f'unknown model {name!r} (choose from {", ".join(CONTRACTS)}, or give its ONNX'
                ' file with --onnx)'
            )
        if not name or Path(name).name != name or name.startswith('.'):
            raise EngineBuildError(f'{name!r} cannot be the name of a file')
    if arguments.compute_capabilities and not arguments.rtx:
        raise EngineBuildError('--compute-capabilities goes with --rtx')
    given = {field.name: getattr(arguments, field.name) for field in fields(BuildOptions)}
    targets = targets_for(arguments.compute_capabilities) if arguments.rtx else ()
    requests = []
    for name in names:
        options, spec = options_for(name, **given), CONTRACTS.get(name)
        own = name, folder, options, spec, arguments.onnx, arguments.force
        requests.append(RtxBuildRequest(*own, targets) if arguments.rtx else BuildRequest(*own))
    return requests


def _available(folder: Path) -> list[str]:
    """Return all models but those whose files the user has to bring and has not brought."""
    names = [name for name in CONTRACTS if name in SOURCES or (folder / f'{name}.onnx').is_file()]
    for name in CONTRACTS:
        if name not in names:
            print_report(
                f'{name}: left out, {folder / name}.onnx is missing (fetch_models {name})'
            )
    return names


def _describe(request: BuildRequest, arguments: argparse.Namespace) -> int:
    """Print what would be built, without TensorRT, and save the ONNX file if asked to."""
    try:
        source, prepared = request.prepare(
            typed=arguments.strongly_typed or arguments.rtx,
            report=lambda line: print_report(f'{request.name}: {line}'),
        )
        batches = batch_profiles(request.options, dynamic=prepared.dynamic)
        if arguments.save_onnx:
            arguments.save_onnx.mkdir(parents=True, exist_ok=True)
            write_atomically(arguments.save_onnx / f'{request.name}.onnx', prepared.model)
    except EngineBuildError as error:
        print(f'build_engines: error: {request.name}: {error}', file=sys.stderr)
        return 1
    except OSError as error:
        where = f'{arguments.save_onnx or request.engines_dir} cannot be written'
        print(f'build_engines: error: {where}: {error.strerror or error}', file=sys.stderr)
        return 1
    print(f'{request.name}: {request.engine_path}')
    print(f'  from      {source.origin} (sha256 {source.sha256})')
    print(f'  inputs    {", ".join(map(str, prepared.inputs))}')
    print(f'  outputs   {", ".join(map(str, prepared.outputs))}')
    kept = f', {len(prepared.fp32_nodes)} layers in FP32' if prepared.fp32_nodes else ''
    print(f'  precision {request.options.precision}{kept}')
    print(f'  batches   {" and ".join("-".join(map(str, b)) for b in batches) or "fixed"}')
    if isinstance(request, RtxBuildRequest):
        print(f'  for       compute capability {", ".join(request.targets)}')
        return 0
    print(f'  trtexec   {trtexec_command(request.name, prepared, request.options, batches)}')
    return 0


def _table(requests: Sequence[BuildRequest], folder: Path) -> str:
    gpu = local_gpu()
    rtx = any(isinstance(request, RtxBuildRequest) for request in requests)
    try:
        version = str(load_tensorrt(RTX_MODULES if rtx else MODULES).__version__)
        tensorrt = f'TensorRT{"-RTX" if rtx else ""} {version}'
    except InferenceError as error:
        version, tensorrt = '', str(error)
    rows = [('ENGINE', 'SIZE', 'PRECISION', 'BATCH', 'TENSORRT', 'GPU', 'STATE')]
    for request in requests:
        path = request.engine_path
        record = read_sidecar(path)
        size = megabytes(path.stat().st_size) if path.is_file() else '-'
        if record is None:
            state = 'has no record' if path.is_file() else 'is missing'
            rows.append((path.name, size, '-', '-', '-', '-', state))
            continue
        largest = str(max((batch[-1] for batch in record.batches), default=1))
        what = (record.precision, largest, record.tensorrt, _for(record))
        rows.append((path.name, size, *what, _state(path, record, gpu, version)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]
    here = f'This machine: {gpu}; {tensorrt}'
    return '\n'.join([f'Engines folder: {folder}', *(line.rstrip() for line in lines), here])


def _for(record: EngineSidecar) -> str:
    return record.gpu.name if record.gpu is not None else ' '.join(record.targets)


def _state(path: Path, record: EngineSidecar, gpu: Gpu | str, version: str) -> str:
    if not path.is_file():
        return 'is missing'
    if path.stat().st_size != record.engine_size:
        return 'is damaged'
    if isinstance(gpu, str) or not version:
        return 'cannot run here'
    if gpu != record.gpu and gpu.compute_capability not in record.targets:
        return 'is for another GPU'
    if not record.version_compatible and version != record.tensorrt:
        return 'is for another TensorRT'
    return 'ok'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='build_engines',
        description=(
            'Build TensorRT engines (<model>.engine) in the engines folder, from the ONNX form'
            ' of the networks. An engine works only with the TensorRT version and on the GPU that'
            ' it was built with: build it on the machine that is to run it. One that is there'
            ' and was built from the same, the same way, is left alone.'
        ),
        epilog=(
            'Beside each engine lies <model>.engine.json with what it was built from and how, and'
            ' a timing cache that makes the next build faster. A build takes from half a minute'
            ' to half an hour, and is best done while nothing else runs. Exit status: 0 when all'
            ' engines asked for are there, 1 when one is not, 130 after Ctrl-C.'
        ),
    )
    parser.add_argument(
        'models',
        metavar='MODEL',
        nargs='*',
        help=f'models to build (default: all): {", ".join(CONTRACTS)}; or, with --onnx, a name'
        ' of your own',
    )
    parser.add_argument('--engines-dir', metavar='DIR', type=Path, help='the engines folder')
    parser.add_argument(
        '--onnx', metavar='FILE', type=Path, help="build from this file, not the model's own"
    )
    how = parser.add_argument_group('how to build')
    how.add_argument(
        '--precision',
        choices=PRECISIONS,
        help='lowest precision to use (default: fp16, of the pose networks tf32); layers that'
        ' would overflow stay in fp32. tf32 is fp32 on tensor cores, which round what they'
        ' multiply to the 11 bits of fp16',
    )
    how.add_argument(
        '--form',
        choices=FORMS,
        help='how convolutions are written: plain (as the network has them), dense (depthwise'
        ' separable ones joined) or relu (and PReLU as ReLU of twice the channels): the same'
        ' results, from one to the next fewer kernels and more multiplications (default: plain,'
        ' of face_mesh relu)',
    )
    batch = (
        'largest batch in one piece (default: 1, of EmoNet 4); larger ones are run in'
        ' pieces; a build for more than 1 takes twice as long'
    )
    numbers = (
        (
            '--fp32-first',
            'N',
            'hold the first N weighted layers in fp32 (default: 0, of EmoNet 5)',
        ),
        ('--max-batch', 'N', batch),
        ('--workspace-mib', 'MIB', 'limit of GPU memory for intermediate results'),
        (
            '--aux-streams',
            'N',
            'streams beside the main one for layers that do not need one another (default:'
            " TensorRT's choice)",
        ),
        ('--optimization-level', '0-5', "0 builds fast, 5 runs fast (default: TensorRT's, 3)"),
    )
    for name, metavar, text in numbers:
        how.add_argument(name, metavar=metavar, type=int, help=text)
    how.add_argument(
        '--version-compatible',
        action='store_true',
        help='make an engine that newer TensorRT versions can run; it carries code',
    )
    how.add_argument(
        '--strongly-typed',
        action='store_true',
        help='put the precision into the graph, as TensorRT 11 always does',
    )
    how.add_argument(
        '--calibration-images',
        metavar='DIR',
        type=Path,
        help='folder of pictures as the network gets them, or .npy files of such: to calibrate'
        ' int8, and to find out what overflows in fp16',
    )
    how.add_argument(
        '--tactic-sources',
        metavar='NAME[,NAME]',
        type=lambda names: tuple(names.replace(',', ' ').split()),
        help="use only these of TensorRT's sources of kernels, as JIT_CONVOLUTIONS",
    )
    how.add_argument(
        '--rtx',
        action='store_true',
        help='build for TensorRT-RTX instead (<model>.rtx, in seconds, also without a GPU): for'
        ' desktop RTX cards',
    )
    how.add_argument(
        '--compute-capabilities',
        metavar='N.N[,N.N]',
        default=(),
        type=lambda names: tuple(names.replace(',', ' ').split()),
        help="with --rtx, the kinds of GPU that shall run it (default: this machine's, or without"
        f' one {", ".join(BY_DEFAULT)}; 7.5 has to be named)',
    )
    parser.add_argument('--force', action='store_true', help='build also what is up to date')
    parser.add_argument('--verbose', action='store_true', help="show TensorRT's messages")
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        '--list', action='store_true', help='only show what is there, without changing anything'
    )
    action.add_argument(
        '--dry-run',
        action='store_true',
        help='only show what would be built, and the trtexec command for it',
    )
    parser.add_argument(
        '--save-onnx',
        metavar='DIR',
        type=Path,
        help='only write the ONNX files as TensorRT would get them, for trtexec',
    )
    return parser
