# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Where faces are, their landmarks, and who is who."""
