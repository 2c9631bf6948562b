# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How a person sits: body keypoints, angles, verdicts."""
