# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Signs of fatigue: eyes, blinks, PERCLOS, yawns, nods, level."""
