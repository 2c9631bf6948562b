# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.tools.preflight import command as preflight
from aitable_ros.tools.preflight.check import Check, Status


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on() -> None:
    def broken() -> list[Check]:
        raise KeyError('of\ntwo lines')

    found = preflight.run_checks(
        {
            'first': lambda: [Check('a', Status.OK, '1'), Check('b', Status.WARNING, '2')],
            'second': broken,
            'third': lambda: [Check('c', Status.OK, '3')],
        }
    )
    assert [check.name for check in found] == ['a', 'b', 'second', 'c']
    assert found[2].status is Status.ERROR
    assert found[2].summary == r"could not be examined: KeyError: 'of\ntwo lines'"


class TestCommand:
    @pytest.mark.parametrize(
        ('statuses', 'expected'),
        [
            ([Status.OK], 0),
            ([Status.OK, Status.WARNING], 1),
            ([Status.ERROR, Status.WARNING, Status.OK], 2),
        ],
    )
    def test_the_exit_status_is_that_of_the_worst(
        self,
        statuses: list[Status],
        expected: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        checks = [Check('name', status, 'summary') for status in statuses]
        monkeypatch.setattr(preflight, 'checkers', lambda *_: {'name': lambda: checks})
        assert preflight.main([]) == expected
        assert capsys.readouterr().out.count('summary') == len(checks)

    @pytest.mark.models
    def test_this_python_is_examined_within_seconds(self, engines_dir: Path) -> None:
        result = subprocess.run(
            [sys.executable, '-m', 'aitable_ros.tools.preflight', '--json'],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,  # takes about 3 s; the machine may be busy
        )
        document = json.loads(result.stdout)
        assert result.stderr == ''
        assert result.returncode == Status[document['status'].upper()]
        names = [check['name'] for check in document['checks']]
        assert {'ros', 'cuda', 'tensorrt', 'litert', 'cameras'} <= set(names)
        assert {f'model {name}' for name in CONTRACTS} <= set(names)
        assert 'could not be examined' not in result.stdout
