# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures ``gpu``, ``trt`` and ``path``: a GPU, a TensorRT and an engine file that are played."""

from tensorrt_fixtures import gpu, path, trt

__all__ = ['gpu', 'path', 'trt']
