# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a bag into the graph."""
