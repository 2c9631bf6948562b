# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Source this (bash) for a shell in which aitable runs: `source scripts/ros_env.sh`.
# It makes ready what is missing (scripts/setup.sh) and sets the environment.
_aitable_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
"$_aitable_scripts/setup.sh" || return 1
# shellcheck source=/dev/null
source "$_aitable_scripts/../.ros/env.bash"
unset _aitable_scripts
