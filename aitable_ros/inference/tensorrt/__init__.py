# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT: the gate, the runtime, plans and the engine."""
