# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How much of people pictures show; imports nothing, for launch files and command lines."""

from __future__ import annotations

NONE, BLUR, MESH, NO_IMAGE = PRIVACY = ('none', 'blur', 'mesh', 'no_image')
"""The picture as it is; faces blurred; readings on plain ground; no picture at all."""

SHOWS_IMAGE = (NONE, BLUR)
"""Those for which the camera's image is needed at all."""
