# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A part of the report is printed, and its goals are met."""

from __future__ import annotations

from aitable_ros.tools.fatigue_report.command import main


def test_the_report_is_printed(capsys):
    assert main(['--only', 'down']) == 0
    out = capsys.readouterr().out
    assert 'all goals met' in out
    assert '| far |' in out
