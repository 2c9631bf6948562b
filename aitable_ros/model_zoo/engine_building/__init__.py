# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From an ONNX graph to a TensorRT engine."""
