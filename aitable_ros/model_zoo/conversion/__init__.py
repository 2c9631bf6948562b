# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""TFLite to ONNX, ONNX to ncnn."""
