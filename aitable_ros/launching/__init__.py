# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: their arguments as a table, and the actions that start nodes."""
