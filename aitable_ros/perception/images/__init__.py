# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What networks share: regions, anchors, image streams, checks."""
