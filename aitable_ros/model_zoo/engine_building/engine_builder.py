# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Build TensorRT engines from ONNX graphs, and keep them with a record of what they are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt.cuda import open_device
from aitable_ros.inference.tensorrt.gate import local_gpu
from aitable_ros.inference.tensorrt.gpu_support import trouble_on
from aitable_ros.inference.tensorrt.runtime import load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import (
    EngineSidecar,
    Gpu,
    read_sidecar,
    sidecar_path,
)
from aitable_ros.model_zoo.engine_building.build_options import (
    BuildOptions,
    EngineBuildError,
    batch_profiles,
)
from aitable_ros.model_zoo.engine_building.network_preparation import (
    NetworkSource,
    PreparedNetwork,
    check_contract,
    find_source,
    prepare,
)
from aitable_ros.model_zoo.engine_building.plan_builder import (
    Plan,
    PlanBuilder,
    Watch,
    check_options,
    needs_typed_graph,
)
from aitable_ros.model_zoo.files import (
    Report,
    locked,
    megabytes,
    read_if_there,
    write_atomically,
    write_together,
)
from aitable_ros.regular_files import file_sha256

REVISION = 2
"""Counts up when the same options lead to other engines, so that old ones are built again."""

TACTIC_SOURCES = ('CUBLAS', 'CUBLAS_LT', 'CUDNN', 'EDGE_MASK_CONVOLUTIONS', 'JIT_CONVOLUTIONS')
"""TensorRT's sources of kernels, until 10; 11 has the last two."""


def engine_key(
    onnx_sha256: str,
    tensorrt: str,
    gpu: Gpu,
    options: BuildOptions,
    batches: Sequence[Sequence[int]],
    images_sha256: str = '',
    fp32_layers: Sequence[str] = (),
) -> str:
    """
    Return a digest of all that decides what a build gives.

    Where the pictures to calibrate on lie does not count, but what they are. Which layers are
    held in FP32 depends also on whether ONNX Runtime is there to find them out.
    """
    # float_input was an option once: engines that are there stay current
    settings = {**dataclasses.asdict(options), 'float_input': False}
    del settings['calibration_images'], settings['max_batch']
    if options.aux_streams is None:  # likewise
        del settings['aux_streams']
    parts = {
        'revision': REVISION,
        'onnx': onnx_sha256,
        'tensorrt': tensorrt,
        'gpu': dataclasses.asdict(gpu),
        'options': settings,
        'batches': batches,
        'images': images_sha256,
        'fp32_layers': list(fp32_layers),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def engine_is_current(path: Path, key: str) -> bool:
    """Tell whether an engine file is whole and was built with this key."""
    record = read_sidecar(path)
    try:
        return (
            record is not None
            and record.key == key
            and path.stat().st_size == record.engine_size
            and file_sha256(path) == record.engine_sha256
        )
    except OSError:
        return False


def trtexec_command(
    name: str,
    prepared: PreparedNetwork,
    options: BuildOptions,
    batches: Sequence[Sequence[int]],
) -> str:
    """Return the trtexec command that builds the same from the ONNX file of ``--save-onnx``."""
    words = ['trtexec', f'--onnx={name}.onnx', f'--saveEngine={name}.engine']
    if prepared.typed:
        words += ['--stronglyTyped']
    elif options.precision not in ('fp32', 'tf32'):
        words += ['--fp16'] + (['--int8', '--calib=CACHE'] if options.precision == 'int8' else [])
        if prepared.fp32_nodes:
            layers = [f'{node}:fp32' for node in prepared.fp32_nodes]
            words += ['--precisionConstraints=obey', f'--layerPrecisions={",".join(layers)}']
            words += [f'--layerOutputTypes={",".join(layers)}']
    if options.precision != 'tf32':
        words.append('--noTF32')
    for index, batch in enumerate(batches):
        if len(batches) > 1:
            words.append(f'--profile={index}')
        for kind, size in zip(('min', 'opt', 'max'), batch):
            shapes = ','.join(
                f'{tensor.name}:{"x".join(map(str, (size, *tensor.shape[1:])))}'
                for tensor in prepared.inputs
            )
            words.append(f'--{kind}Shapes={shapes}')
    if options.workspace_mib is not None:
        words.append(f'--memPoolSize=workspace:{options.workspace_mib}')
    if options.optimization_level is not None:
        words.append(f'--builderOptimizationLevel={options.optimization_level}')
    if options.aux_streams is not None:
        words.append(f'--maxAuxStreams={options.aux_streams}')
    if options.version_compatible:
        words.append('--versionCompatible')
    if options.tactic_sources:
        # trtexec starts from all that it has
        others = [f'-{name}' for name in TACTIC_SOURCES if name not in options.tactic_sources]
        signed = [*others, *(f'+{name}' for name in options.tactic_sources)]
        words.append(f'--tacticSources={",".join(signed)}')
    return shlex.join(words)


@dataclass(frozen=True)
class BuildRequest:
    """
    One engine to build.

    :param name: the model; its engine file is ``<name>.engine``.
    :param engines_dir: folder for it.
    :param options: how.
    :param spec: the model's contract, if it has one.
    :param onnx_file: ONNX file to build from instead of the model's own.
    :param force: build it also where it is there already.
    """

    name: str
    engines_dir: Path
    options: BuildOptions
    spec: ModelSpec | None = None
    onnx_file: Path | None = None
    force: bool = False

    @property
    def engine_path(self) -> Path:
        """The engine file."""
        return self.engines_dir / f'{self.name}.engine'

    def prepare(self, *, typed: bool, report: Report) -> tuple[NetworkSource, PreparedNetwork]:
        """
        Find the network, bring it into form, and check it against the model's contract.

        :raises EngineBuildError: as the three do.
        """
        source = find_source(self.name, self.engines_dir, spec=self.spec, onnx_file=self.onnx_file)
        prepared = prepare(source, self.options, typed=typed, report=report)
        if self.spec is not None:
            try:
                check_contract(self.spec, prepared)
            except InferenceError as error:
                raise EngineBuildError(f'{source.origin} is {error}') from error
        return source, prepared


def build(request: BuildRequest, report: Report, watch: Watch) -> EngineSidecar | None:
    """
    Build an engine, and write it with its record.

    Run it in a process of its own: TensorRT keeps memory, and may be killed for it.

    :param report: told, line by line, what happens.
    :param watch: told how far it is, where TensorRT says so; from any thread.
    :returns: its record; None when it was there already.
    :raises EngineBuildError: when it cannot be built or written.
    """
    options = request.options
    try:
        trt = load_tensorrt()
        check_options(trt, options)
        device = open_device()
    except InferenceError as error:
        raise EngineBuildError(str(error)) from error
    gpu = local_gpu()
    if isinstance(gpu, str):
        raise EngineBuildError(gpu)
    if trouble := trouble_on(gpu.compute_capability, trt.__version__):
        raise EngineBuildError(trouble)
    source, prepared = request.prepare(typed=needs_typed_graph(trt, options), report=report)
    batches = batch_profiles(options, dynamic=prepared.dynamic)
    key = engine_key(
        source.sha256,
        trt.__version__,
        gpu,
        options,
        batches,
        prepared.images_sha256,
        prepared.fp32_nodes,
    )
    if not request.force and engine_is_current(request.engine_path, key):
        return None
    cache_path = timing_cache_path(request.engines_dir, trt.__version__, gpu)
    largest = max((batch[-1] for batch in batches), default=0)
    taking = f'batches up to {largest}' if largest else "the network's own batch"
    report(
        f'building from {source.origin} with TensorRT {trt.__version__} for {gpu},'
        f' {options.precision}, {taking}'
    )
    builder = PlanBuilder(trt, device, options, prepared, batches, watch)
    plan = builder.run(read_if_there(cache_path))
    record = record_of(request.name, key, plan, source, trt, options, prepared, batches, gpu)
    write_engine(request.engine_path, plan.content, record, report)
    if plan.timing_cache:
        try:
            with locked(cache_path.parent, report):
                write_atomically(cache_path, plan.timing_cache)
        except OSError as error:
            reason = error.strerror or error
            report(f'{cache_path} cannot be written: {reason}; the next build takes longer')
    return record


def record_of(
    name: str,
    key: str,
    plan: Plan,
    source: NetworkSource,
    trt: Any,
    options: BuildOptions,
    prepared: PreparedNetwork,
    batches: tuple[tuple[int, int, int], ...],
    gpu: Gpu | None = None,
    targets: tuple[str, ...] = (),
) -> EngineSidecar:
    """
    Return what is written beside an engine.

    :param name: of the network.
    :param key: as :func:`engine_key` gives it.
    :param plan: what was built, by ``trt``, out of ``source``.
    :param gpu: that it is for; None: it is for the compute capabilities ``targets``.
    """
    return EngineSidecar(
        model=name,
        key=key,
        engine_sha256=hashlib.sha256(plan.content).hexdigest(),
        engine_size=len(plan.content),
        onnx_sha256=source.sha256,
        onnx_source=source.origin,
        tensorrt=trt.__version__,
        gpu=gpu,
        precision=options.precision,
        inputs=tuple(map(str, prepared.inputs)),
        outputs=tuple(map(str, prepared.outputs)),
        batches=batches,
        version_compatible=options.version_compatible,
        options=build_settings(options, prepared),
        flags=plan.flags,
        fp32_layers=prepared.fp32_nodes,
        build_seconds=round(plan.seconds, 1),
        built_at=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        targets=targets,
    )


def build_settings(options: BuildOptions, prepared: PreparedNetwork) -> dict[str, Any]:
    """Return the builder's other settings, as they are recorded beside an engine."""
    return {
        'workspace_mib': options.workspace_mib,
        'optimization_level': options.optimization_level,
        'aux_streams': options.aux_streams,
        'strongly_typed': prepared.typed,
        'form': options.form,
        'fp32_first': options.fp32_first,
        'tactic_sources': list(options.tactic_sources),
        'calibration_images': prepared.images_sha256,
    }


def write_engine(path: Path, plan: bytes, record: EngineSidecar, report: Report) -> None:
    """
    Write an engine with its record, both or neither.

    :raises EngineBuildError: when they cannot be written.
    """
    try:
        with locked(path.parent, report):
            write_together({path: plan, sidecar_path(path): record.to_json().encode()})
    except OSError as error:
        raise EngineBuildError(
            f'{path} ({megabytes(len(plan))}) cannot be written: {error.strerror or error}'
        ) from error


def timing_cache_path(engines_dir: Path, tensorrt: str, gpu: Gpu) -> Path:
    """Return where measured kernel times are kept: they hold for one TensorRT and one GPU."""
    words = re.sub(r'[^0-9A-Za-z]+', '-', f'{gpu.name} {gpu.multiprocessors}').strip('-').lower()
    return engines_dir / f'timing-{tensorrt}-{words}.cache'
