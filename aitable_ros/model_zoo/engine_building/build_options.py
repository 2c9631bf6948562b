# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How an engine is built: what can be asked for, and what suits which network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

PRECISIONS = ('fp32', 'tf32', 'fp16', 'int8')
"""TF32 is FP32 whose convolutions round what they multiply, not what they add, to the 11 bits that
FP16 has. FP16 and INT8 are what TensorRT may use; layers that would overflow stay in FP32."""

FORMS = ('plain', 'dense', 'relu')
"""How convolutions are written. Plain: as the network has them. Dense: without depthwise separable
ones and, where that is possible, residual connections. Relu: also without PReLU. See
:mod:`~aitable_ros.model_zoo.engine_building.convolution_folding`."""

_EMONET = MappingProxyType({'fp32_first': 5, 'max_batch': 4})

DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # 0.25 instead of 0.32 ms, 0.05 instead of 0.01 px from FP32
        'face_mesh': {'form': 'relu'},
        # in FP16 the keypoints in space were up to 2 cm off
        'pose_detection': {'precision': 'tf32'},
        'pose_landmark': {'precision': 'tf32'},
        # The first 5 in FP32: 0.5 to 0.7 instead of 0.8 to 1.7 % of the range, for 0.2 ms more.
        # A profile for 4: 3.0 instead of 6.3 ms. No streams: 4 made one picture 9 % faster, but
        # four were 1.4 instead of 1.2 % off.
        'emonet': _EMONET,
        'emonet_5': _EMONET,
    }
)
"""What suits a network better than the defaults of :class:`BuildOptions`, by its name. The figures
were taken on an H200, see docs/benchmark.md."""


class EngineBuildError(RuntimeError):
    """An engine cannot be built; the message says why, in one line, and what helps."""


@dataclass(frozen=True)
class BuildOptions:
    """
    How to build an engine; see :func:`options_for`.

    :param precision: one of :data:`PRECISIONS`.
    :param fp32_first: so many layers with weights, from the input on, stay in FP32, with all that
        lies between.
    :param form: one of :data:`FORMS`.
    :param max_batch: largest batch in one piece, where the network leaves it open; 1 makes a
        static engine.
    :param workspace_mib: limit of the memory for activations, in MiB; None: TensorRT's.
    :param optimization_level: 0 (builds fast) to 5 (runs fast); None: TensorRT's, which is 3.
    :param aux_streams: so many streams beside its own may run layers that do not need one another;
        None: as many as TensorRT thinks right. TensorRT 8.5 knows none.
    :param version_compatible: make a plan that newer TensorRT versions can run, with code in it.
    :param strongly_typed: put precision into the graph also where the builder has flags for it.
    :param tactic_sources: only these of TensorRT's sources of kernels; empty: all it has.
    :param calibration_images: folder of pictures as the network gets them: to calibrate INT8
        on, and to find out what would overflow in FP16.
    """

    precision: str = 'fp16'
    fp32_first: int = 0
    form: str = 'plain'
    max_batch: int = 1
    workspace_mib: int | None = None
    optimization_level: int | None = None
    aux_streams: int | None = None
    version_compatible: bool = False
    strongly_typed: bool = False
    tactic_sources: tuple[str, ...] = ()
    calibration_images: Path | None = None

    def __post_init__(self) -> None:
        for name, known in (('precision', PRECISIONS), ('form', FORMS)):
            value = getattr(self, name)
            if value not in known:
                raise EngineBuildError(f'{name} {value!r}: expected one of {", ".join(known)}')
        for name, low, high in (
            ('fp32_first', 0, 1000),
            ('max_batch', 1, 1024),
            ('workspace_mib', 1, 2**20),
            ('optimization_level', 0, 5),
            ('aux_streams', 0, 16),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise EngineBuildError(f'{name} {value}: expected {low} to {high}')
        if self.fp32_first and self.precision in ('fp32', 'tf32'):
            raise EngineBuildError(
                f'fp32_first {self.fp32_first}: nothing is below {self.precision} anyway; it goes'
                ' with --precision fp16 or int8'
            )
        if self.precision == 'int8' and self.calibration_images is None:
            raise EngineBuildError(
                'INT8 needs a folder of pictures to calibrate on (--calibration-images)'
            )


def options_for(name: str, **given: Any) -> BuildOptions:
    """
    Return the options for a model: those given, its own, and the general ones.

    :param name: the model.
    :param given: fields of :class:`BuildOptions`; None where nothing was said.
    :raises EngineBuildError: when a value is not possible.
    """
    said = {field: value for field, value in given.items() if value is not None}
    own = dict(DEFAULTS.get(name, {}))
    if said.get('precision') == 'int8':
        # A tap that adds the input is far larger than the others, which share its scale.
        own.pop('form', None)
    if said.get('precision', own.get('precision')) in ('fp32', 'tf32'):
        own.pop('fp32_first', None)
    return BuildOptions(**{**own, **said})


def batch_profiles(options: BuildOptions, *, dynamic: bool) -> tuple[tuple[int, int, int], ...]:
    """
    Return smallest, preferred and largest batch of each optimisation profile.

    :param dynamic: whether the network leaves the batch open.
    :returns: nothing for a network of fixed batch.
    :raises EngineBuildError: when a batch is asked for and the network has a fixed one.
    """
    if not dynamic:
        if options.max_batch != 1:
            raise EngineBuildError(
                f'max_batch {options.max_batch}: the network has a fixed batch of its own'
                ' (--max-batch 1); or export it with the batch left open'
            )
        return ()
    largest = options.max_batch
    # a profile of its own for the batch that matters most lets TensorRT treat it as static
    return ((1, 1, 1),) if largest == 1 else ((1, 1, 1), (1, largest, largest))
