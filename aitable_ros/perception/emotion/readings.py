# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The readings of expressions, by name, from the best to the last resort; imports nothing."""

from __future__ import annotations

EXPRESSION = 'expression'
GEOMETRY = 'geometry'

NETWORKS = {
    **{name: name for name in ('emonet', 'emonet_5', 'emotieff', 'emotieff_mbf')},
    EXPRESSION: 'fer',
}
"""Name of the network in the catalog, by the reading that needs one."""

READINGS = (*NETWORKS, GEOMETRY)

CHAIN = ('emonet', 'emotieff', 'emotieff_mbf', EXPRESSION, GEOMETRY)
"""The readings that ``auto`` tries, in this order."""
