# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""README.md says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()


def test_parameter_tables_and_file_are_up_to_date():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    script = ROOT / 'scripts' / 'update_readme.py'
    checked = subprocess.run(
        [sys.executable, str(script), '--check'], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_every_file_it_names_is_there():
    links = re.findall(r'\]\(([^)#:]+)\)', README)
    scripts = re.findall(r'scripts/[\w.]+', README)
    assert len(links) > 5
    for path in {*links, *scripts}:
        assert (ROOT / path).exists(), path


def test_every_launch_argument_is_in_its_table():
    launch_file = (ROOT / 'launch' / 'aitable.launch.py').read_text()
    for name in re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", launch_file):
        assert f'| `{name}` |' in README, name
