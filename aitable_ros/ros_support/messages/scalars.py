# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Messages as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any


def scalars_of(message: Any, without: Collection[str] = ()) -> dict[str, Any]:
    """
    Return a message's numbers, truth values and texts by the names of its fields.

    :param without: names to leave out.
    """
    fields = message.get_fields_and_field_types()
    found = {name: getattr(message, name) for name in fields if name not in without}
    return {name: v for name, v in found.items() if isinstance(v, bool | int | float | str)}


def to_json(value: Any) -> str:
    """
    Return JSON that browsers take: NaN and infinities, which JSON lacks, are null.

    Numbers have four decimals: enough for people, and for stamps in seconds.
    """
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(',', ':'))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
