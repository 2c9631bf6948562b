# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: wiring only, one node class per file."""
