# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures ``bare_python`` and ``modules``: what preflight may meet."""

from preflight_fixtures import bare_python, modules

__all__ = ['bare_python', 'modules']
