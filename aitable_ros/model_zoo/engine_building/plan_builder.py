# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Have TensorRT build a plan, with TensorRT 8.5 to 11.

What a TensorRT version can do is found out by looking for it, not by its number: until 10,
FP16 and INT8 are flags of the builder; in 11 they are part of the graph.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import one_line
from aitable_ros.inference.tensorrt.cuda import CudaDevice
from aitable_ros.inference.tensorrt.gpu_support import explain_unsupported
from aitable_ros.inference.tensorrt.runtime import TensorRtLog, log_of
from aitable_ros.model_zoo.engine_building.build_options import BuildOptions, EngineBuildError
from aitable_ros.model_zoo.engine_building.network_preparation import PreparedNetwork

_MIB = 2**20
_OUT_OF_MEMORY = re.compile(
    r'out ?of ?memory|could not be allocated|cudaErrorMemoryAllocation|insufficient.*memory'
    r'|Cannot allocate memory|bad_alloc',
    re.IGNORECASE,
)


class Progress(NamedTuple):
    """What TensorRT does, in its words (empty: it does not say), and how far it is, 0 to 1."""

    phase: str
    done: float


Watch = Callable[[Progress], None]


def needs_typed_graph(trt: Any, options: BuildOptions) -> bool:
    """Tell whether the graph must carry the precision: asked for, or there is no flag for it."""
    return options.strongly_typed or not hasattr(trt.BuilderFlag, 'FP16')


def check_options(trt: Any, options: BuildOptions) -> None:
    """
    Refuse what this TensorRT cannot do.

    :raises EngineBuildError: the message says since when, or until when, it can be done.
    """
    if not hasattr(trt, 'Builder'):
        raise EngineBuildError(
            f'{trt.__name__} {trt.__version__} is the lean runtime, which runs engines but cannot'
            ' build any; install TensorRT itself'
        )
    config = trt.IBuilderConfig
    refusals = (
        (
            options.version_compatible and not hasattr(trt.BuilderFlag, 'VERSION_COMPATIBLE'),
            'cannot build version-compatible plans; 8.6 and later can',
        ),
        (
            options.optimization_level is not None
            and not hasattr(config, 'builder_optimization_level'),
            'has no optimization levels; 8.6 and later have',
        ),
        (
            options.strongly_typed
            and hasattr(trt.BuilderFlag, 'FP16')
            and not hasattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED'),
            'has no strongly typed networks; 9 and later have',
        ),
    )
    for refused, why in refusals:
        if refused:
            raise EngineBuildError(f'TensorRT {trt.__version__} {why}')
    known = [name for name in dir(trt.TacticSource) if name.isupper()]
    for name in options.tactic_sources:
        if name not in known:
            raise EngineBuildError(
                f'TensorRT {trt.__version__} has no tactic source {name}; it has'
                f' {", ".join(known)}'
            )


class Plan(NamedTuple):
    """
    What TensorRT built: what an engine file holds, how long it took, names of the builder's flags
    that were set, and the times of kernels that were measured, for the next build.
    """

    content: bytes
    seconds: float
    flags: tuple[str, ...]
    timing_cache: bytes


class PlanBuilder:
    """
    Drives TensorRT through one build.

    :param trt: TensorRT's module; :func:`check_options` has found nothing against it.
    :param device: whose GPU measures kernels; None: see
        :class:`~aitable_ros.model_zoo.engine_building.rtx_builder.RtxPlanBuilder`.
    :param batches: of :func:`~aitable_ros.model_zoo.engine_building.build_options.batch_profiles`.
    :param watch: told how far it is, where TensorRT says so; from any thread.
    """

    def __init__(
        self,
        trt: Any,
        device: CudaDevice | None,
        options: BuildOptions,
        network: PreparedNetwork,
        batches: Sequence[Sequence[int]],
        watch: Watch,
    ) -> None:
        self._trt = trt
        self._device: Any = device
        self._options = options
        self._prepared = network
        self._batches = batches
        self._watch = watch
        self._log: TensorRtLog = log_of(trt)

    def run(self, timing_cache: bytes) -> Plan:
        """
        Build.

        :param timing_cache: of an earlier build; may be empty, damaged or another version's.
        :raises EngineBuildError: when TensorRT cannot; the message has its words.
        """
        mark = self._log.mark()
        try:
            with self._device, ExitStack() as stack:
                return self._build(timing_cache, stack)
        except (MemoryError, self._device.driver.MemoryError) as error:
            raise EngineBuildError(f'not enough memory: {one_line(error)}') from error
        except self._device.driver.Error as error:
            raise EngineBuildError(f'{self._device} failed: {one_line(error)}') from error
        except EngineBuildError as error:
            said = self._log.quote(mark)
            if _OUT_OF_MEMORY.search(said):
                raise EngineBuildError(
                    'not enough memory: close other programs, or lower --workspace-mib or'
                    f' --max-batch; {said}'
                ) from error
            if cure := explain_unsupported(said):
                raise EngineBuildError(f'{cure} [{said}]') from error
            raise

    def _build(self, timing_cache: bytes, stack: ExitStack) -> Plan:
        trt, log = self._trt, self._log
        mark = log.mark()
        try:
            builder = trt.Builder(log.logger)
        except TypeError:  # pybind11's, for a null pointer; the log has a warning at most
            builder = None
        if builder is None or any(line.is_error for line in log.since(mark)):
            raise EngineBuildError(
                f'TensorRT {trt.__version__} does not start; the NVIDIA driver may be too old for'
                f' it; {log.quote(mark)}'
            )
        network = builder.create_network(self._network_flags())
        parser = trt.OnnxParser(network, log.logger)  # owns the weights until the plan is made
        if not parser.parse(self._prepared.model):
            errors = [one_line(parser.get_error(index)) for index in range(parser.num_errors)]
            raise EngineBuildError(
                f'TensorRT {trt.__version__} does not take the network: '
                + ('; '.join(errors) or log.quote(mark))
            )
        config = builder.create_builder_config()
        self._configure(config)
        self._set_precision(builder, network, config, stack)
        self._set_batches(builder, network, config)
        cache = self._attach_cache(config, timing_cache)
        monitor = self._monitor(config)
        start = time.monotonic()
        plan = builder.build_serialized_network(network, config)
        seconds = time.monotonic() - start
        if plan is None:
            raise EngineBuildError(f'TensorRT could not build the engine: {log.quote(mark)}')
        flags = tuple(
            name
            for name in sorted(dir(trt.BuilderFlag))
            if name.isupper() and config.get_flag(getattr(trt.BuilderFlag, name))
        )
        measured = bytes(cache.serialize()) if cache is not None else b''
        del monitor
        return Plan(bytes(plan), seconds, flags, measured)

    def _network_flags(self) -> int:
        known = self._trt.NetworkDefinitionCreationFlag
        flags = 0
        if hasattr(known, 'EXPLICIT_BATCH'):  # until 10
            flags |= 1 << int(known.EXPLICIT_BATCH)
        if self._prepared.typed and hasattr(known, 'STRONGLY_TYPED'):
            flags |= 1 << int(known.STRONGLY_TYPED)
        return flags

    def _configure(self, config: Any) -> None:
        trt, options = self._trt, self._options
        if options.workspace_mib is not None:
            config.set_memory_pool_limit(
                trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB
            )
        if options.optimization_level is not None:
            config.builder_optimization_level = options.optimization_level
        if options.aux_streams is not None and hasattr(config, 'max_aux_streams'):
            config.max_aux_streams = options.aux_streams
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.tactic_sources:
            chosen = (getattr(trt.TacticSource, name) for name in options.tactic_sources)
            if not config.set_tactic_sources(sum(1 << int(source) for source in chosen)):
                raise EngineBuildError(
                    f'tactic sources {", ".join(options.tactic_sources)} are refused'
                )
        # Lets several execution contexts use one profile; later versions always do.
        if hasattr(trt.PreviewFeature, 'PROFILE_SHARING_0806') and not hasattr(
            trt, 'IProgressMonitor'
        ):
            config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)

    def _set_precision(self, builder: Any, network: Any, config: Any, stack: ExitStack) -> None:
        flags = self._trt.BuilderFlag
        if self._options.precision != 'tf32' and hasattr(flags, 'TF32'):
            # On by default. What is held in FP32 is held for the bits that TF32 drops.
            config.clear_flag(flags.TF32)
        if self._prepared.typed or self._options.precision in ('fp32', 'tf32'):
            return
        if not builder.platform_has_fast_fp16:
            raise EngineBuildError('this GPU has no fast FP16; use --precision fp32')
        config.set_flag(flags.FP16)
        if self._prepared.images is not None:
            if not builder.platform_has_fast_int8:
                raise EngineBuildError('this GPU has no fast INT8; use --precision fp16')
            config.set_flag(flags.INT8)
            self._calibrate(builder, config, stack, self._prepared.images)
        self._hold_in_fp32(network)
        config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)

    def _calibrate(
        self, builder: Any, config: Any, stack: ExitStack, images: npt.NDArray[np.uint8]
    ) -> None:
        from aitable_ros.model_zoo.engine_building.calibration import Batches, create_calibrator

        # TensorRT takes as many pictures from a batch as the network has, whatever is said here
        fixed = self._fixed_batch()
        batches = Batches(images) if fixed is None else Batches(images, fixed)
        done = iter(range(1, len(batches) + 1))

        def advance() -> None:
            self._watch(Progress('calibration', next(done, len(batches)) / len(batches)))

        calibrator = create_calibrator(self._trt, batches, self._device, advance)
        config.int8_calibrator = stack.enter_context(closing(calibrator))
        if fixed is None:
            profile = builder.create_optimization_profile()
            for tensor in self._prepared.inputs:
                shape = (batches.size, *tensor.shape[1:])
                profile.set_shape(tensor.name, shape, shape, shape)
            config.set_calibration_profile(profile)

    def _fixed_batch(self) -> int | None:
        """Return the batch that the network is built for; None: several."""
        if not self._prepared.dynamic:
            return self._prepared.inputs[0].shape[0]
        return 1 if len(self._batches) == 1 and self._batches[0][-1] == 1 else None

    def _hold_in_fp32(self, network: Any) -> None:
        trt = self._trt
        wanted = set(self._prepared.fp32_nodes)
        held = set()
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            if layer.name not in wanted or layer.type == trt.LayerType.CONSTANT:
                continue
            outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
            if any(output.dtype != trt.float32 for output in outputs):
                continue
            layer.precision = trt.float32
            for position in range(layer.num_outputs):
                layer.set_output_type(position, trt.float32)
            held.add(layer.name)
        # Identities and the like may vanish, what computes may not.
        lost = sorted(set(self._prepared.fp32_weighted) - held)
        if lost:
            raise EngineBuildError(
                f'layers that must stay in FP32 are not to be found: {", ".join(lost)}'
            )

    def _set_batches(self, builder: Any, network: Any, config: Any) -> None:
        if len(self._batches) == 1 and self._batches[0][-1] == 1:
            for index in range(network.num_inputs):
                tensor = network.get_input(index)
                tensor.shape = (1, *tuple(tensor.shape)[1:])
            return
        for batch in self._batches:
            profile = builder.create_optimization_profile()
            for tensor in self._prepared.inputs:
                low, opt, high = ((size, *tensor.shape[1:]) for size in batch)
                profile.set_shape(tensor.name, low, opt, high)
            if config.add_optimization_profile(profile) < 0:
                raise EngineBuildError(f'TensorRT refuses batches {list(batch)}')

    def _attach_cache(self, config: Any, content: bytes) -> Any:
        for start in (content, b''):  # a damaged or foreign cache is started anew
            cache = config.create_timing_cache(start)
            if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
                return cache
        return None

    def _monitor(self, config: Any) -> Any:
        trt, watch = self._trt, self._watch
        if not hasattr(trt, 'IProgressMonitor'):
            return None
        steps: dict[str, int] = {}

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase: str, parent: str | None, count: int) -> None:
                if not parent:
                    steps[phase] = max(count, 1)
                    watch(Progress(phase, 0.0))

            def step_complete(self, phase: str, step: int) -> bool:
                if phase in steps:
                    watch(Progress(phase, min((step + 1) / steps[phase], 1.0)))
                return True

            def phase_finish(self, phase: str) -> None:
                if steps.pop(phase, None) is not None:
                    watch(Progress(phase, 1.0))

        config.progress_monitor = monitor = Monitor()
        return monitor
