# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The one error of this package."""

from __future__ import annotations


class BagError(RuntimeError):
    """A bag cannot be read or written; the message is one line that says what to do."""


def one_line(error: BaseException) -> str:
    """Give an error's text without line breaks, or its kind where it has no text."""
    return ' '.join(str(error).split()) or type(error).__name__
