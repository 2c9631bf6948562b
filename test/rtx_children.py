# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Builds with the real TensorRT-RTX, in a process of their own (``run_isolated``)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx

from aitable_ros.inference.tensorrt.runtime import RTX_MODULES, load_tensorrt
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.engine_building import half_precision
from aitable_ros.model_zoo.engine_building.build_options import (
    FORMS,
    PRECISIONS,
    EngineBuildError,
    batch_profiles,
    options_for,
)
from aitable_ros.model_zoo.engine_building.network_preparation import (
    NetworkSource,
    find_source,
    prepare,
)
from aitable_ros.model_zoo.engine_building.rtx_builder import RtxPlanBuilder


def _write_emonet(path, spec):
    from aitable_ros.model_zoo.emonet.network import EmoNet
    from aitable_ros.model_zoo.emonet.onnx_writer import build_onnx

    state = EmoNet(spec.outputs[0].shape[1]).state_dict()
    model = build_onnx({key: value.numpy() for key, value in state.items()}, spec)
    path.write_bytes(model.SerializeToString())


def build_every_way(name, folder, ways):
    """
    Build a network's plan in several ways; yield what came of each.

    :param ways: 'every pair': every precision of every form; 'every one': every form and every
        precision; 'own': as build_engines does by itself.
    :returns: form, precision, seconds of TensorRT, size in bytes, names of flags. A graph that
        was built before, as of a form that changes nothing, is left out.
    """
    trt = load_tensorrt(RTX_MODULES)
    few = half_precision.probe_images
    half_precision.probe_images = lambda shape: few(shape)[:1]  # not what is tested here
    spec = CONTRACTS[name]
    if name.startswith('emonet'):
        _write_emonet(Path(folder, f'{name}.onnx'), spec)
    source = find_source(name, Path(folder), spec=spec)
    pictures = Path(folder) / f'{name}.pictures'
    pictures.mkdir(exist_ok=True)
    height, width, channels = spec.inputs[0].shape[1:]
    images = np.random.default_rng(0).integers(0, 256, (1, height, width, channels), np.uint8)
    np.save(pictures / 'one.npy', images)
    # INT8 is calibrated on colour pictures
    precisions = [one for one in PRECISIONS if channels == 3 or one != 'int8']
    built = set()
    for form in ['plain'] if ways == 'own' else FORMS:
        plain = prepare(source, options_for(name, form=form, precision='fp32'), typed=True)
        written = NetworkSource(plain.model, source.origin)
        for precision in precisions:
            few_ways = ways == 'own' or (ways == 'every one' and form != 'dense')
            if few_ways and precision != 'fp16':
                continue
            options = options_for(
                name,
                form='plain',
                precision=precision,
                max_batch=4 if precision == 'fp32' and name == 'fer' else 1,
                calibration_images=pictures if precision == 'int8' else None,
            )
            prepared = prepare(written, options, typed=True)
            if (prepared.model, precision == 'tf32') in built:
                continue
            built.add((prepared.model, precision == 'tf32'))
            batches = batch_profiles(options, dynamic=prepared.dynamic)
            plan = RtxPlanBuilder(
                trt, options, prepared, batches, lambda progress: None, ('8.6',)
            ).run()
            assert plan.content.startswith(b'vtrt')
            yield form, precision, plan.seconds, len(plan.content), plan.flags


def build_unknown_operator(folder):
    """Yield why a network whose last operator TensorRT-RTX does not know is refused."""
    spec = CONTRACTS['fer']
    source = find_source('fer', Path(folder), spec=spec)
    model = onnx.load_model_from_string(source.model)
    last = model.graph.node[-1]
    last.op_type, last.domain = 'Conjecture', 'com.example'
    del last.attribute[:]
    model.opset_import.append(onnx.helper.make_opsetid('com.example', 1))
    source = dataclasses.replace(source, model=model.SerializeToString())
    options = options_for('fer', precision='fp32')
    prepared = prepare(source, options, typed=True)
    batches = batch_profiles(options, dynamic=prepared.dynamic)
    builder = RtxPlanBuilder(
        load_tensorrt(RTX_MODULES), options, prepared, batches, lambda progress: None, ('8.6',)
    )
    try:
        builder.run()
    except EngineBuildError as error:
        yield str(error)
