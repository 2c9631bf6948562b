# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How right the fatigue figures are, on synthetic people."""
