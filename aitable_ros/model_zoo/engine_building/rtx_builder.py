# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Build TensorRT-RTX engines: for named kinds of GPU, also on a machine that has none.

A plan of TensorRT-RTX holds its kernels as source text; they are compiled where it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.gate import local_gpu
from aitable_ros.inference.tensorrt.rtx_gate import CAPABILITIES
from aitable_ros.inference.tensorrt.runtime import RTX_MODULES, load_tensorrt
from aitable_ros.inference.tensorrt.sidecar import EngineSidecar, Gpu
from aitable_ros.model_zoo.engine_building.build_options import (
    BuildOptions,
    EngineBuildError,
    batch_profiles,
)
from aitable_ros.model_zoo.engine_building.engine_builder import (
    BuildRequest,
    engine_is_current,
    engine_key,
    record_of,
    write_engine,
)
from aitable_ros.model_zoo.engine_building.network_preparation import PreparedNetwork
from aitable_ros.model_zoo.engine_building.plan_builder import Plan, PlanBuilder, Watch
from aitable_ros.model_zoo.files import Report

BY_DEFAULT = CAPABILITIES[1:]
"""Without 7.5 (Turing): a plan that takes it as well is up to six times as large, and not every
network builds for it."""


@dataclass(frozen=True)
class RtxBuildRequest(BuildRequest):
    """
    A TensorRT-RTX engine to build, ``<name>.rtx``.

    :param targets: compute capabilities, as ``8.6``; empty: see :func:`targets_for`.
    """

    targets: tuple[str, ...] = ()

    @property
    def engine_path(self) -> Path:
        """The engine file."""
        return self.engines_dir / f'{self.name}.rtx'


class RtxPlanBuilder(PlanBuilder):
    """
    Drives TensorRT-RTX through one build, without a GPU.

    One build a process: after one that failed, the next plan is another one (seen with 1.7.1).

    :param targets: compute capabilities, of :data:`CAPABILITIES`.
    """

    def __init__(
        self,
        trt: Any,
        options: BuildOptions,
        network: PreparedNetwork,
        batches: Sequence[Sequence[int]],
        watch: Watch,
        targets: Sequence[str],
    ) -> None:
        super().__init__(trt, None, options, network, batches, watch)
        self._targets = targets

    def run(self, timing_cache: bytes = b'') -> Plan:
        """
        Build.

        :param timing_cache: not used: no kernels are measured.
        :raises EngineBuildError: when TensorRT-RTX cannot; the message has its words.
        """
        try:
            with ExitStack() as stack:
                return self._build(b'', stack)
        except EngineBuildError as error:
            if 'SM75' not in str(error):
                raise
            raise EngineBuildError(f'{error}; leave out compute capability 7.5') from error

    def _configure(self, config: Any) -> None:
        super()._configure(config)
        config.num_compute_capabilities = len(self._targets)
        for index, target in enumerate(self._targets):
            known = self._trt.ComputeCapability.__members__
            capability = known.get(f'SM{target.replace(".", "")}')
            if capability is None or not config.set_compute_capability(capability, index):
                version = self._trt.__version__
                raise EngineBuildError(
                    f'TensorRT-RTX {version} does not build for compute capability {target}'
                )

    def _attach_cache(self, config: Any, content: bytes) -> Any:
        return None


def targets_for(named: Sequence[str]) -> tuple[str, ...]:
    """
    Return the compute capabilities to build for: those named, this machine's, or all of 8.0 on.

    :raises EngineBuildError: when TensorRT-RTX has no kernels for one.
    """
    gpu = local_gpu()
    targets = tuple(named) or ((gpu.compute_capability,) if isinstance(gpu, Gpu) else BY_DEFAULT)
    for target in targets:
        if target not in CAPABILITIES:
            raise EngineBuildError(
                f'TensorRT-RTX has no kernels for compute capability {target}, only for'
                f' {", ".join(CAPABILITIES)} (--compute-capabilities); TensorRT itself has'
            )
    return tuple(sorted(set(targets), key=CAPABILITIES.index))


def build_rtx(request: RtxBuildRequest, report: Report, watch: Watch) -> EngineSidecar | None:
    """
    Build an engine, and write it with its record; as :func:`engine_builder.build`.

    :raises EngineBuildError: when it cannot be built or written.
    """
    options = request.options
    try:
        trt = load_tensorrt(RTX_MODULES)
    except InferenceError as error:
        raise EngineBuildError(str(error)) from error
    for name, asked in (
        ('--version-compatible', options.version_compatible),
        ('--tactic-sources', options.tactic_sources),
    ):
        if asked:
            raise EngineBuildError(f'{name} is not for TensorRT-RTX')
    targets = targets_for(request.targets)
    source, prepared = request.prepare(typed=True, report=report)
    batches = batch_profiles(options, dynamic=prepared.dynamic)
    key = engine_key(
        source.sha256,
        f'rtx {trt.__version__}',
        Gpu('', ' '.join(targets), 0),
        options,
        batches,
        prepared.images_sha256,
        prepared.fp32_nodes,
    )
    if not request.force and engine_is_current(request.engine_path, key):
        return None
    report(
        f'building from {source.origin} with TensorRT-RTX {trt.__version__} for compute'
        f' capability {", ".join(targets)}, {options.precision}'
    )
    plan = RtxPlanBuilder(trt, options, prepared, batches, watch, targets).run()
    record = record_of(
        request.name, key, plan, source, trt, options, prepared, batches, targets=targets
    )
    path = request.engine_path
    write_engine(path, plan.content, record, report)
    path.with_name(f'{path.name}.cache').unlink(missing_ok=True)  # kernels of the one before
    return record
