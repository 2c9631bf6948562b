# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a table should act on: alerts, as one deterministic step over stamped readings."""
