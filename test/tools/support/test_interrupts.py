# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_module_keeps_its_exit_status_after_an_interrupt_in_generated_code(tmp_path):
    (tmp_path / 'handled.py').write_text(
        'import sys\n'
        f'sys.path.insert(0, {str(ROOT)!r})\n'
        'from aitable_ros.tools.support.interrupts import settle_interrupt\n'
        'try:\n'
        '    exec("raise KeyboardInterrupt")\n'
        'except KeyboardInterrupt:\n'
        '    settle_interrupt()\n'
        'sys.exit(7)\n'
    )
    ended = subprocess.run([sys.executable, '-m', 'handled'], cwd=tmp_path, check=False)
    assert ended.returncode == 7
