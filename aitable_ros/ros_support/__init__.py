# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes share: images, frame hub, managed node, parameters, diagnostics."""
