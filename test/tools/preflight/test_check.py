# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

from aitable_ros.tools.preflight.check import Check, Status, as_document, print_table


class TestOutput:
    CHECKS = (
        Check('first', Status.OK, 'all is well'),
        Check('second one', Status.WARNING, 'found', 'do something'),
        Check('third', Status.ERROR, 'bad'),
    )

    def test_the_table_has_what_was_found_and_what_to_do(self) -> None:
        stream = io.StringIO()
        print_table(self.CHECKS, stream)
        lines = stream.getvalue().splitlines()
        assert lines[0] == 'ok       first       all is well'
        assert lines[1] == 'warning  second one  found'
        assert lines[2] == '                     -> do something'
        assert lines[-1] == '3 checks: 1 ok, 1 with warnings, 1 with errors'

    def test_the_document_is_for_machines(self) -> None:
        document = as_document(self.CHECKS)
        assert document['status'] == 'error'
        assert document['checks'][0] == {
            'name': 'first',
            'status': 'ok',
            'summary': 'all is well',
            'advice': '',
            'details': {},
        }
        assert as_document(self.CHECKS[:2])['status'] == 'warning'
