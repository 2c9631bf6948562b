# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The table's own page: who may read it, its server, its files. Needs no ROS."""
