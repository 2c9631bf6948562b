# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What one would want to look at after a recording, or after a day of many tables."""
