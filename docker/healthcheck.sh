#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Healthy: preflight finds no error. Its warnings (no GPU, no camera) are no illness.
status=0
/entrypoint.sh run preflight --json >/dev/null || status=$?
((status < 2))
