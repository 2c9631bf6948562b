# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Build TensorRT engines from ONNX graphs, with TensorRT 8.5 to 11.

What a TensorRT version can do is found out by looking for it, not by its number: until 10,
FP16 and INT8 are flags of the builder; in 11 they are part of the graph.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.cuda import CudaDevice, open_device
from aitable_ros.inference.engine import DYNAMIC, InferenceError, TensorSpec
from aitable_ros.inference.engine_sidecar import (
    EngineSidecar,
    Gpu,
    file_sha256,
    read_sidecar,
    sidecar_path,
)
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.tensorrt_gate import local_gpu
from aitable_ros.inference.tensorrt_runtime import TensorRtLog, load_tensorrt, log_of
from aitable_ros.model_zoo.files import locked, megabytes, write_atomically
from aitable_ros.model_zoo.store import SOURCES

PRECISIONS = ('fp32', 'fp16', 'int8')
DEFAULT_MAX_BATCHES: Mapping[str, int] = MappingProxyType({'iris_landmark': 2})
"""Largest batch by model; 1 for others. A person has two eyes, and one face: a static engine of
batch 1 is faster than one that takes batches, which costs more than a second face in turn."""
REVISION = 1
"""Counts up when the same options lead to other engines, so that old ones are built again."""

_MIB = 2**20
_OUT_OF_MEMORY = re.compile(
    r'out ?of ?memory|could not be allocated|cudaErrorMemoryAllocation|insufficient.*memory'
    r'|Cannot allocate memory|bad_alloc',
    re.IGNORECASE,
)


class EngineBuildError(RuntimeError):
    """An engine cannot be built; the message says why, in one line, and what helps."""


@dataclass(frozen=True)
class BuildOptions:
    """
    How to build, as the command line has it.

    :param precision: one of :data:`PRECISIONS`. Below ``fp32`` it is what TensorRT may use;
        layers that would overflow stay in FP32.
    :param max_batch: largest batch in one piece, where the network leaves it open; 1 makes a
        static engine. None: that of :data:`DEFAULT_MAX_BATCHES`.
    :param workspace_mib: limit of the memory for activations, in MiB; None: TensorRT's.
    :param optimization_level: 0 (builds fast) to 5 (runs fast); None: TensorRT's, which is 3.
    :param version_compatible: make a plan that newer TensorRT versions can run, with code in it.
    :param strongly_typed: put precision into the graph also where the builder has flags for it.
    :param float_input: take float32 pixels, scaled on the host, instead of uint8.
    :param tactic_sources: only these of TensorRT's sources of kernels; empty: all it has.
    :param calibration_images: folder of pictures as the network gets them: to calibrate INT8
        on, and to find out what would overflow in FP16.
    """

    precision: str = 'fp16'
    max_batch: int | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None
    version_compatible: bool = False
    strongly_typed: bool = False
    float_input: bool = False
    tactic_sources: tuple[str, ...] = ()
    calibration_images: Path | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise EngineBuildError(
                f'precision {self.precision!r}: expected one of {", ".join(PRECISIONS)}'
            )
        for name, low, high in (
            ('max_batch', 1, 1024),
            ('workspace_mib', 1, 2**20),
            ('optimization_level', 0, 5),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise EngineBuildError(f'{name} {value}: expected {low} to {high}')
        if self.precision == 'int8' and self.calibration_images is None:
            raise EngineBuildError(
                'INT8 needs a folder of pictures to calibrate on (--calibration-images)'
            )


@dataclass(frozen=True)
class NetworkSource:
    """
    The ONNX model that an engine is built from, in FP32.

    :param model: its contents.
    :param origin: where it came from.
    """

    model: bytes
    origin: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the contents."""
        return hashlib.sha256(self.model).hexdigest()


@dataclass(frozen=True)
class PreparedNetwork:
    """
    What is given to TensorRT's parser.

    :param model: ONNX; with precision in it when ``typed``.
    :param inputs: its inputs.
    :param outputs: its outputs.
    :param typed: whether the graph's own types decide the precision.
    :param fp32_nodes: nodes that stay in FP32, where the precision is lower.
    :param fp32_weighted: those of them that hold weights; no parser may lose these.
    :param images: to calibrate INT8 on.
    :param images_sha256: digest of the pictures that were looked at; empty: of none.
    """

    model: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    typed: bool
    fp32_nodes: tuple[str, ...] = ()
    fp32_weighted: tuple[str, ...] = ()
    images: npt.NDArray[np.uint8] | None = None
    images_sha256: str = ''

    @property
    def dynamic(self) -> bool:
        """Whether the batch may have any size."""
        return all(tensor.shape[:1] == (DYNAMIC,) for tensor in self.inputs)


@dataclass(frozen=True)
class Progress:
    """
    How far TensorRT is.

    :param phase: what it does, in its words; empty where the version does not say.
    :param done: fraction, 0 to 1.
    """

    phase: str
    done: float


Watch = Callable[[Progress], None]
Report = Callable[[str], None]


def find_source(
    name: str,
    engines_dir: Path,
    *,
    spec: ModelSpec | None = None,
    onnx_file: Path | None = None,
    float_input: bool = False,
) -> NetworkSource:
    """
    Find the ONNX model to build from.

    MediaPipe's networks are converted from their .tflite file in memory, with one operator for
    each of TFLite's: the .onnx file beside it is written for ONNX Runtime's CPU kernels, which
    takes TensorRT more layers. Other networks, and these where the converter's packages are
    missing, are built from their .onnx file.

    :param name: the model.
    :param engines_dir: where its files are.
    :param spec: its contract, if it has one.
    :param onnx_file: this file, instead.
    :param float_input: leave scaling to the host; for MediaPipe's networks only.
    :raises EngineBuildError: when there is no such file, or it cannot be read or converted.
    """
    tflite = engines_dir / f'{name}.tflite'
    if onnx_file is None and spec is not None and name in SOURCES and tflite.is_file():
        converted = _convert_tflite(tflite, spec, float_input)
        if converted is not None:
            return converted
    if float_input:
        raise EngineBuildError(
            f'{name}: a float input can be made only for {", ".join(SOURCES)}, from their .tflite'
            ' files'
        )
    path = onnx_file or engines_dir / f'{name}.onnx'
    try:
        return NetworkSource(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        how = (
            f'python3 -m aitable_ros.tools.fetch_models {name}'
            if spec is not None
            else 'put it there, or name it with --onnx'
        )
        raise EngineBuildError(f'{path} is missing ({how})') from error
    except OSError as error:
        raise EngineBuildError(f'{path} cannot be read: {error.strerror or error}') from error


def _convert_tflite(path: Path, spec: ModelSpec, float_input: bool) -> NetworkSource | None:
    try:
        import onnx

        from aitable_ros.model_zoo import tflite_to_onnx
    except ImportError:
        return None
    if file_sha256(path) != SOURCES[spec.name].sha256:
        raise EngineBuildError(
            f'{path} is damaged (python3 -m aitable_ros.tools.fetch_models {spec.name})'
        )
    if float_input:
        spec = dataclasses.replace(spec, scale=1.0, offset=0.0)
    try:
        model = tflite_to_onnx.convert(path, spec, style=tflite_to_onnx.GraphStyle.NATIVE)
    except tflite_to_onnx.ConversionError as error:
        raise EngineBuildError(f'{path} cannot be converted: {error}') from error
    if float_input:
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    return NetworkSource(content, f'{path} (converted)')


def prepare(
    source: NetworkSource, options: BuildOptions, *, typed: bool, report: Report = lambda _: None
) -> PreparedNetwork:
    """
    Check a network and bring it into the form in which it is given to TensorRT.

    :param source: the network.
    :param options: how to build.
    :param typed: whether the graph is to carry the precision: see :func:`needs_typed_graph`.
    :param report: told what stays in FP32, and why.
    :raises EngineBuildError: when the file is not ONNX, has sizes other than the batch left
        open, or cannot be brought to the precision.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineBuildError(f'module onnx is needed (pip install onnx): {error}') from error
    from aitable_ros.model_zoo import calibration, half_precision

    try:
        model = onnx.load_model_from_string(source.model)
        onnx.checker.check_model(model)
    except Exception as error:  # of protobuf, onnx and Python, without a common base
        raise EngineBuildError(f'{source.origin} is not ONNX: {_line(error)}') from error
    constants = {entry.name for entry in model.graph.initializer}
    inputs = tuple(_tensor_specs(i for i in model.graph.input if i.name not in constants))
    outputs = tuple(_tensor_specs(model.graph.output))
    for tensor in inputs:
        if DYNAMIC in tensor.shape[1:]:
            raise EngineBuildError(
                f'{source.origin}: input {tensor}: only the batch may be left open; export it for'
                ' one picture size'
            )
    if options.precision == 'fp32':
        return PreparedNetwork(source.model, inputs, outputs, typed)
    images = None
    if options.calibration_images is not None:
        images = _calibration_images(inputs, options.calibration_images)
    _name_nodes(model)
    keep = set(half_precision.head_nodes(model))
    keep |= set(_large_valued(model, inputs, images, report))
    kept = [node for node in model.graph.node if node.name in keep]
    names = tuple(node.name for node in kept)
    weighted = tuple(
        node.name for node in kept if node.op_type in half_precision.WEIGHTED_OPERATORS
    )
    content = model.SerializeToString(deterministic=True)
    if typed:
        try:
            if images is not None and options.precision == 'int8':
                model = calibration.quantize(model, images, keep)
            else:
                model = half_precision.to_half(model, keep)
        except Exception as error:  # ours, and onnx's, which share no base class
            raise EngineBuildError(
                f'{source.origin} cannot be brought to {options.precision}: {_line(error)}'
            ) from error
        content = model.SerializeToString(deterministic=True)
    return PreparedNetwork(
        content,
        inputs,
        outputs,
        typed,
        names,
        weighted,
        images if options.precision == 'int8' else None,
        '' if images is None else calibration.images_digest(images),
    )


def _large_valued(
    model: Any, inputs: Sequence[TensorSpec], images: npt.NDArray | None, report: Report
) -> dict[str, float]:
    from aitable_ros.model_zoo import half_precision

    image = inputs[0]
    if len(inputs) != 1 or image.dtype != np.uint8 or len(image.shape) != 4:
        report(
            'FP32 is kept for the heads only: what else would overflow can be found out only'
            ' for networks that take uint8 pictures'
        )
        return {}
    pictures = half_precision.probe_images(image.shape[1:])
    if images is not None:
        pictures += [picture[None] for picture in images[:32]]
    try:
        large = half_precision.large_valued_nodes(
            model, ({image.name: picture} for picture in pictures)
        )
    except ImportError:
        report(
            'FP32 is kept for the heads only: to find out what else would overflow, install'
            ' onnxruntime'
        )
        return {}
    except Exception as error:  # onnxruntime's errors share no base class
        raise EngineBuildError(
            f'the network does not run in ONNX Runtime: {_line(error)}'
        ) from error
    if large:
        report(
            f'values up to {max(large.values()):.0f} on plain pictures and noise, in {len(large)}'
            ' layers: these stay in FP32'
        )
    return large


def _calibration_images(inputs: Sequence[TensorSpec], folder: Path) -> npt.NDArray[np.uint8]:
    from aitable_ros.model_zoo import calibration

    image = inputs[0]
    if len(inputs) != 1 or image.dtype != np.uint8 or image.shape[3:] != (3,):
        raise EngineBuildError(
            'pictures to calibrate on need a network that takes uint8[N,H,W,3], not '
            + ', '.join(map(str, inputs))
        )
    try:
        return calibration.load_images(folder, *image.shape[1:3])
    except calibration.CalibrationError as error:
        raise EngineBuildError(str(error)) from error


def _name_nodes(model: Any) -> None:
    """Give every node a name of its own: it is how layers are told apart."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f'{node.op_type}_unnamed_{index}'
        taken.add(node.name)


def _tensor_specs(infos: Any) -> Iterator[TensorSpec]:
    from onnx import helper

    for info in infos:
        tensor = info.type.tensor_type
        shape = tuple(
            size.dim_value if size.WhichOneof('value') == 'dim_value' else DYNAMIC
            for size in tensor.shape.dim
        )
        yield TensorSpec(
            info.name, shape, np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        )


def contract_differences(spec: ModelSpec, prepared: PreparedNetwork) -> list[str]:
    """
    Tell how a network's tensors differ from what the model's backend will accept.

    Outputs may bear their TFLite names and fold dimensions, and the picture may be float32,
    NHWC or NCHW: see :class:`~aitable_ros.inference.tensorrt_engine.TensorRtEngine`.
    """
    differences = []
    if len(prepared.inputs) != 1 or not _takes(spec.inputs[0], prepared.inputs[0]):
        given = ', '.join(map(str, prepared.inputs))
        differences.append(f'expected the input {spec.inputs[0]}, found {given}')
    found = {spec.tflite_outputs.get(t.name, t.name): t for t in prepared.outputs}
    for want in spec.outputs:
        tensor = found.get(want.name)
        if tensor is None:
            differences.append(f'output {want} is missing, the file has {", ".join(found)}')
        elif DYNAMIC not in tensor.shape[1:] and math.prod(tensor.shape[1:]) != math.prod(
            want.shape[1:]
        ):
            differences.append(f'output {want} is {tensor}')
    return differences


def _takes(want: TensorSpec, have: TensorSpec) -> bool:
    rows = have.shape[1:]
    if have.dtype == np.float32:
        height, width, channels = want.shape[1:]
        return rows in ((height, width, channels), (channels, height, width))
    return have.dtype == want.dtype and have.name == want.name and rows == want.shape[1:]


def needs_typed_graph(trt: Any, options: BuildOptions) -> bool:
    """Tell whether the graph must carry the precision: asked for, or there is no flag for it."""
    return options.strongly_typed or not hasattr(trt.BuilderFlag, 'FP16')


def check_options(trt: Any, options: BuildOptions) -> None:
    """
    Refuse what this TensorRT cannot do.

    :param trt: TensorRT's module.
    :param options: how to build.
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


def batch_profiles(
    name: str, options: BuildOptions, *, dynamic: bool
) -> tuple[tuple[int, int, int], ...]:
    """
    Return smallest, preferred and largest batch of each optimisation profile.

    :param name: the model.
    :param options: how to build.
    :param dynamic: whether the network leaves the batch open.
    :returns: nothing for a network of fixed batch.
    :raises EngineBuildError: when a batch is asked for and the network has a fixed one.
    """
    if not dynamic:
        if options.max_batch not in (None, 1):
            raise EngineBuildError(
                f'max_batch {options.max_batch}: the network has a fixed batch; export it with the'
                ' batch left open'
            )
        return ()
    largest = options.max_batch or DEFAULT_MAX_BATCHES.get(name, 1)
    # a profile of its own for the batch that matters most lets TensorRT treat it as static
    return ((1, 1, 1),) if largest == 1 else ((1, 1, 1), (1, largest, largest))


def engine_key(
    onnx_sha256: str,
    tensorrt: str,
    gpu: Gpu,
    options: BuildOptions,
    batches: Sequence[Sequence[int]],
    images_sha256: str = '',
) -> str:
    """
    Return a digest of all that decides what a build gives.

    :param onnx_sha256: of the network in FP32.
    :param tensorrt: version of TensorRT.
    :param gpu: the GPU.
    :param options: how to build; where the pictures lie does not count.
    :param batches: of :func:`batch_profiles`.
    :param images_sha256: of the pictures to calibrate on.
    """
    settings = dataclasses.asdict(options)
    del settings['calibration_images'], settings['max_batch']
    parts = {
        'revision': REVISION,
        'onnx': onnx_sha256,
        'tensorrt': tensorrt,
        'gpu': dataclasses.asdict(gpu),
        'options': settings,
        'batches': batches,
        'images': images_sha256,
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
    elif options.precision != 'fp32':
        words += ['--fp16'] + (['--int8', '--calib=CACHE'] if options.precision == 'int8' else [])
        if prepared.fp32_nodes:
            layers = [f'{node}:fp32' for node in prepared.fp32_nodes]
            words += ['--precisionConstraints=obey', f'--layerPrecisions={",".join(layers)}']
            words += [f'--layerOutputTypes={",".join(layers)}']
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
    if options.version_compatible:
        words.append('--versionCompatible')
    if options.tactic_sources:
        signed = [f'+{name}' for name in options.tactic_sources]
        words.append(f'--tacticSources={",".join(signed)}')
    return ' '.join(words)


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

    def source(self) -> NetworkSource:
        """Find the network; see :func:`find_source`."""
        return find_source(
            self.name,
            self.engines_dir,
            spec=self.spec,
            onnx_file=self.onnx_file,
            float_input=self.options.float_input,
        )

    def prepare(self, *, typed: bool, report: Report) -> tuple[NetworkSource, PreparedNetwork]:
        """
        Find the network, bring it into form, and check it against the model's contract.

        :raises EngineBuildError: as the three do.
        """
        source = self.source()
        prepared = prepare(source, self.options, typed=typed, report=report)
        differences = contract_differences(self.spec, prepared) if self.spec else []
        if differences:
            raise EngineBuildError(f'{source.origin} is not {self.name}: {"; ".join(differences)}')
        return source, prepared


def build(request: BuildRequest, report: Report, watch: Watch) -> EngineSidecar | None:
    """
    Build an engine, and write it with its record.

    Run it in a process of its own: TensorRT keeps memory, and may be killed for it.

    :param request: what.
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
    source, prepared = request.prepare(typed=needs_typed_graph(trt, options), report=report)
    batches = batch_profiles(request.name, options, dynamic=prepared.dynamic)
    key = engine_key(source.sha256, trt.__version__, gpu, options, batches, prepared.images_sha256)
    if not request.force and engine_is_current(request.engine_path, key):
        return None
    cache_path = timing_cache_path(request.engines_dir, trt.__version__, gpu)
    report(
        f'building from {source.origin} with TensorRT {trt.__version__} for {gpu},'
        f' {options.precision}, {_describe(batches)}'
    )
    plan = _PlanBuilder(trt, device, options, prepared, batches, watch).run(_read(cache_path))
    record = EngineSidecar(
        model=request.name,
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
        options={
            'workspace_mib': options.workspace_mib,
            'optimization_level': options.optimization_level,
            'strongly_typed': prepared.typed,
            'float_input': options.float_input,
            'tactic_sources': list(options.tactic_sources),
            'calibration_images': prepared.images_sha256,
        },
        flags=plan.flags,
        fp32_layers=prepared.fp32_nodes,
        build_seconds=round(plan.seconds, 1),
        built_at=datetime.now(timezone.utc).isoformat(timespec='seconds'),
    )
    store_engine(request.engine_path, plan.content, record, report)
    if plan.timing_cache:
        _store_cache(cache_path, plan.timing_cache, report)
    return record


def store_engine(path: Path, plan: bytes, record: EngineSidecar, report: Report) -> None:
    """
    Write an engine file and its record, so that at no time they contradict each other.

    :raises EngineBuildError: when they cannot be written, as on a full disk; the engine file is
        then as it was.
    """
    try:
        with locked(path.parent, report):
            sidecar_path(path).unlink(missing_ok=True)
            write_atomically(path, plan)
            write_atomically(sidecar_path(path), record.to_json().encode())
    except OSError as error:
        raise EngineBuildError(
            f'{path} ({megabytes(len(plan))}) cannot be written: {error.strerror or error}'
        ) from error


def timing_cache_path(engines_dir: Path, tensorrt: str, gpu: Gpu) -> Path:
    """Return where measured kernel times are kept: they hold for one TensorRT and one GPU."""
    words = re.sub(r'[^0-9A-Za-z]+', '-', f'{gpu.name} {gpu.multiprocessors}').strip('-').lower()
    return engines_dir / f'timing-{tensorrt}-{words}.cache'


def _store_cache(path: Path, content: bytes, report: Report) -> None:
    try:
        with locked(path.parent, report):
            write_atomically(path, content)
    except OSError as error:
        report(f'{path} cannot be written: {error.strerror or error}; the next build takes longer')


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b''


def _describe(batches: Sequence[Sequence[int]]) -> str:
    if not batches:
        return "the network's own batch"
    largest = max(batch[-1] for batch in batches)
    return f'batches up to {largest}' if largest > 1 else 'batch 1'


def _line(error: object) -> str:
    return ' '.join(str(error).split())


@dataclass(frozen=True)
class _Plan:
    content: bytes
    seconds: float
    flags: tuple[str, ...]
    timing_cache: bytes


class _PlanBuilder:
    """Drives TensorRT through one build."""

    def __init__(
        self,
        trt: Any,
        device: CudaDevice,
        options: BuildOptions,
        network: PreparedNetwork,
        batches: Sequence[Sequence[int]],
        watch: Watch,
    ) -> None:
        self._trt = trt
        self._device = device
        self._options = options
        self._prepared = network
        self._batches = batches
        self._watch = watch
        self._log: TensorRtLog = log_of(trt)

    def run(self, timing_cache: bytes) -> _Plan:
        mark = self._log.mark()
        try:
            with self._device, ExitStack() as stack:
                return self._build(timing_cache, stack)
        except (MemoryError, self._device.driver.MemoryError) as error:
            raise EngineBuildError(f'not enough memory: {_line(error)}') from error
        except self._device.driver.Error as error:
            raise EngineBuildError(f'{self._device} failed: {_line(error)}') from error
        except EngineBuildError as error:
            said = self._log.quote(mark)
            if _OUT_OF_MEMORY.search(said):
                raise EngineBuildError(
                    'not enough memory: close other programs, or lower --workspace-mib or'
                    f' --max-batch; {said}'
                ) from error
            raise

    def _build(self, timing_cache: bytes, stack: ExitStack) -> _Plan:
        trt, log = self._trt, self._log
        mark = log.mark()
        builder = trt.Builder(log.logger)
        if any(line.is_error for line in log.since(mark)):
            raise EngineBuildError(f'TensorRT does not start: {log.quote(mark)}')
        network = builder.create_network(self._network_flags())
        parser = trt.OnnxParser(network, log.logger)  # owns the weights until the plan is made
        if not parser.parse(self._prepared.model):
            errors = [_line(parser.get_error(index)) for index in range(parser.num_errors)]
            raise EngineBuildError(
                f'TensorRT {trt.__version__} does not take the network: '
                + ('; '.join(errors) or log.quote(mark))
            )
        config = builder.create_builder_config()
        self._configure(builder, config)
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
        return _Plan(bytes(plan), seconds, flags, measured)

    def _network_flags(self) -> int:
        known = self._trt.NetworkDefinitionCreationFlag
        flags = 0
        if hasattr(known, 'EXPLICIT_BATCH'):  # until 10
            flags |= 1 << int(known.EXPLICIT_BATCH)
        if self._prepared.typed and hasattr(known, 'STRONGLY_TYPED'):
            flags |= 1 << int(known.STRONGLY_TYPED)
        return flags

    def _configure(self, builder: Any, config: Any) -> None:
        trt, options = self._trt, self._options
        if options.workspace_mib is not None:
            config.set_memory_pool_limit(
                trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB
            )
        if options.optimization_level is not None:
            config.builder_optimization_level = options.optimization_level
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
        if self._prepared.typed or self._options.precision == 'fp32':
            return
        flags = self._trt.BuilderFlag
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
        from aitable_ros.model_zoo.calibration import Batches, DeviceBatches, create_calibrator

        batches = Batches(images) if self._prepared.dynamic else Batches(images, 1)
        done = iter(range(1, len(batches) + 1))

        def advance() -> None:
            self._watch(Progress('calibration', next(done, len(batches)) / len(batches)))

        feeder = stack.enter_context(DeviceBatches(batches, self._device))
        config.int8_calibrator = create_calibrator(self._trt, feeder, batches.size, advance)
        # Until the plan is made TensorRT refers to it without owning it.
        stack.callback(lambda kept: None, config.int8_calibrator)
        if self._prepared.dynamic:
            profile = builder.create_optimization_profile()
            for tensor in self._prepared.inputs:
                shape = (batches.size, *tensor.shape[1:])
                profile.set_shape(tensor.name, shape, shape, shape)
            config.set_calibration_profile(profile)

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
