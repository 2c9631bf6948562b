# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Faces, eyes, expressions and posture of pictures, videos, cameras and bags."""
