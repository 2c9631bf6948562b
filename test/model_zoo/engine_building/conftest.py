# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU that is played."""

from tensorrt_fixtures import gpu

__all__ = ['gpu']
