# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The pose of the head, and the camera that sees it."""
