# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Builds TensorRT engines."""
