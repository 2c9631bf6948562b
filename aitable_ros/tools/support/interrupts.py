# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is left to do when an interrupt was handled."""

from __future__ import annotations


def settle_interrupt() -> None:
    """
    Let the exit status be ours after a KeyboardInterrupt that was caught.

    Where it struck inside ``exec`` of a text (as dataclasses and rosbags make their code), CPython
    notes it as unhandled and ends ``python -m`` by SIGINT, whatever status the program gives
    (3.10 to 3.13, findings/python_m_interrupt_in_exec.sh). The next ``exec`` takes the note back.
    """
    exec('')
