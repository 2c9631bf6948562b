# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What several parts of perception share, and what needs no image."""
