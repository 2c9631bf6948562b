# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is installed in this Python, looked up without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util


def is_there(module: str) -> bool:
    """
    Tell whether a module can be found.

    :param module: its name as it is imported.
    """
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # broken in its own way, but there
        return True


def version_of(distribution: str) -> str:
    """
    Return the version of a distribution; empty where it is not installed.

    :param distribution: its name as pip has it.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ''
