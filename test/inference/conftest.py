# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU, a TensorRT and an engine file that are played."""

from tensorrt_fixtures import gpu, path, recorded, trt

__all__ = ['gpu', 'path', 'recorded', 'trt']
