# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a network takes and gives, independent of the runtime that executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aitable_ros.inference.engine import TensorSpec


@dataclass(frozen=True)
class ModelSpec:
    """
    The contract of one network; every backend presents it exactly so.

    Image inputs are NHWC uint8 RGB. Files whose own input is float (TFLite) get
    ``pixel * scale + offset``; in ONNX files that step is part of the graph.

    A spec without any tensors is that of a file which the user brings: ONNX Runtime and TensorRT
    then present what the file has, and whoever uses it must look at that.

    :param name: the model's name; its files are ``<name>.onnx``, ``<name>.tflite``,
        ``<name>.engine`` in the engines folder.
    :param inputs: input tensors, first dimension the batch.
    :param outputs: output tensors, first dimension the batch.
    :param scale: factor from pixel value to what the network was trained on.
    :param offset: added after scaling.
    :param tflite_outputs: canonical output name by the name that the TFLite file uses.
    :param chain: backends in the order in which ``auto`` tries them.
    :param required: whether its node cannot work without this network.
    :param host_code_sha256: SHA-256 of the one TensorRT engine file that may bring code which
        runs in this process, as version-compatible plans do; empty: none may.
    :param mapped_memory: let TensorRT work on the host's memory instead of copies of it.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    scale: float = 1.0
    offset: float = 0.0
    tflite_outputs: Mapping[str, str] = field(default_factory=dict)
    chain: tuple[str, ...] = ()
    required: bool = True
    host_code_sha256: str = ''
    mapped_memory: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the tensors are the file's own."""
        return not self.inputs and not self.outputs
