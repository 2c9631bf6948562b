# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from preflight_fixtures import only

from aitable_ros.tools.preflight_check import Status
from aitable_ros.tools.preflight_python import check_optional, check_packages, check_python


class TestPython:
    @pytest.mark.parametrize(
        ('version', 'status'),
        [
            ((3, 8, 10), Status.ERROR),
            ((3, 9, 99), Status.ERROR),
            ((3, 10, 0), Status.OK),
            ((3, 13, 7), Status.OK),
            ((3, 14, 0), Status.WARNING),
        ],
    )
    def test_versions(self, version: tuple[int, ...], status: Status) -> None:
        check = only(check_python(version))
        assert check.status is status
        assert sys.executable in check.summary
        assert bool(check.advice) == (status is not Status.OK)

    def test_this_one_has_what_is_needed(self) -> None:
        check = check_packages()[0]
        assert check.status is Status.OK
        assert check.summary.startswith('numpy ')

    def test_a_package_that_is_there_but_broken(self, modules: Callable[..., None]) -> None:
        modules('cv2', 'raise ImportError("libGL.so.1: cannot open shared object file")')
        found = {check.summary: check for check in check_packages()}
        broken = found.pop('cv2: ImportError: libGL.so.1: cannot open shared object file')
        assert broken.status is Status.ERROR
        assert 'opencv-python-headless' in broken.advice
        assert any(text.startswith('numpy ') for text in found)

    def test_a_package_that_crashes(self, modules: Callable[..., None]) -> None:
        modules('cv2', 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)')
        summaries = [check.summary for check in check_packages()]
        assert 'cv2: was ended by SIGSEGV' in summaries

    def test_optional_packages_are_not_imported(self, modules: Callable[..., None]) -> None:
        modules('torch', 'import os; os.abort()')
        check = only(check_optional('pytorch', 'torch', 'something'))
        assert check.status is Status.OK
        missing = only(check_optional('other', 'no_such_module', 'something'))
        assert missing.status is Status.WARNING
        assert missing.advice == 'only something needs it'
