# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Which TensorRT has kernels for which GPU: Orin's, 8.7, is where people are caught.

NVIDIA's release notes: JetPack's own packages have them. Of those for SBSA (server) systems, which
pip, and NVIDIA's apt repository for servers, install on any aarch64 machine, 10.7 refuses SM 87,
10.13.3 has no kernels for it (isaac-ros-cli#22), and 10.16.1 is the first that runs there, on
JetPack 7.2.
"""

from __future__ import annotations

import importlib.util
import re

ORIN = '8.7'
"""Compute capability of all Orin modules."""

FIRST_FOR_ORIN = (10, 16, 1)
"""The first TensorRT for SBSA systems with kernels for Orin."""

FIRST_FOR_SERVERS_ALONE = (10, 13)
"""From here on to :data:`FIRST_FOR_ORIN` there is none for Jetsons, wherever it came from."""

_WAY_OUT = (
    "on a Jetson Orin use JetPack's own TensorRT (JetPack 6: pip uninstall tensorrt"
    ' tensorrt_cu12, then sudo apt install tensorrt python3-libnvinfer), or, on JetPack 7.2 and'
    ' later, pip install tensorrt-cu13==10.16.1.11: docs/jetson.md'
)


def trouble_on(capability: str, version: str, *, from_pip: bool | None = None) -> str:
    """
    Say why a TensorRT has no kernels for a GPU, and what helps, before it is tried.

    :param capability: compute capability of the GPU, as ``8.7``.
    :param version: of TensorRT.
    :param from_pip: whether it came with pip and its own libraries; None: look.
    :returns: one line; empty where nothing is known against it.
    """
    if from_pip is None:
        from_pip = any(map(importlib.util.find_spec, ('tensorrt_libs', 'tensorrt_lean_libs')))
    numbers = tuple(map(int, re.findall(r'\d+', version)[:3]))
    for_servers = from_pip or numbers >= FIRST_FOR_SERVERS_ALONE
    if capability != ORIN or not for_servers or numbers >= FIRST_FOR_ORIN:
        return ''
    return f'TensorRT {version} for servers has no kernels for Orin: {_WAY_OUT}'


def explain_unsupported(said: str) -> str:
    """
    Say what helps where TensorRT refused a GPU.

    :param said: what it logged.
    :returns: one line; empty where it was something else.
    """
    refused = re.search(r'Target GPU SM (\d+) is not supported|Unsupported SM: 0x(\d)0?(\d)', said)
    if refused is None:
        return ''
    capability = refused[1] or f'{refused[2]}{refused[3]}'
    if capability == '87':
        return f'this TensorRT has no kernels for Orin: {_WAY_OUT}'
    return (
        'this TensorRT has no kernels for compute capability'
        f' {capability[:-1]}.{capability[-1]}: a newer one may, for a new GPU, or an older one'
    )
