# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Where people look: the gaze of each face, and what it rests on."""
