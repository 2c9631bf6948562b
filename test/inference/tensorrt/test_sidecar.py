# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The records beside engine files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tensorrt_fixtures import PLAN, sidecar

from aitable_ros.inference.tensorrt.sidecar import read_sidecar, sidecar_path


def test_comes_back_as_it_was_written_also_by_a_later_version(recorded: Path) -> None:
    assert read_sidecar(recorded) == sidecar()
    values = json.loads(sidecar_path(recorded).read_text()) | {'later': 1}
    sidecar_path(recorded).write_text(json.dumps(values))
    assert read_sidecar(recorded) == sidecar()


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{}',
        '{"format": 1}',
        '{"format": 1, "gpu": 3}',
        '\x00\xff',
        sidecar().to_json().replace('"format": 1', '"format": 2'),
        sidecar().to_json().replace('"engine_sha256": "', '"engine_sha256": 1, "x": "'),
        sidecar().to_json().replace('"multiprocessors"', '"cores"'),
        sidecar().to_json().replace(f'"engine_size": {len(PLAN)}', '"engine_size": "600"'),
        sidecar(batches=((1, 1, math.inf),)).to_json(),
        sidecar().to_json().replace('"toy.onnx"', '1'),
        '[' * 100_000,
    ],
)
def test_that_is_none_counts_as_missing(recorded: Path, text: str) -> None:
    sidecar_path(recorded).write_text(text)
    assert read_sidecar(recorded) is None
