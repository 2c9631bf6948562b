# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Running networks: one engine interface, a module per runtime, the fallback chain."""
