#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# A KeyboardInterrupt that is caught still ends `python -m MODULE` by SIGINT, if it struck while
# exec() ran a text: the exit status that the program gives is lost. One would guess that what was
# handled is over. Whoever generates code by exec of a text is in the way: dataclasses, namedtuple,
# rosbags' types; so a tool that promises an exit status after Ctrl-C breaks its word now and then.
# Run as a script (`python FILE`) the same program keeps its status, and so it does after a further
# exec(), which takes CPython's note back.
#
# CPython 3.10.13, 3.11.7, 3.12.1 and 3.13.0, Linux x86-64, 2026-11-29, all alike:
#   as a script: 7
#   as a module: 130
#   as a module, exec('') later: 7
# Fails when that changes. Needs python3 alone (or PYTHON=...).
set -euo pipefail
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >handled.py <<'END'
import sys

try:
    exec('raise KeyboardInterrupt')  # where a signal may strike
except KeyboardInterrupt:
    if 'settle' in sys.argv:
        exec('')
sys.exit(7)
END
status_of() {
  local status=0
  "$@" || status=$?
  echo "$status"
}
"$python" -V
seen=$(
  echo "as a script: $(status_of "$python" handled.py)"
  echo "as a module: $(status_of "$python" -m handled)"
  echo "as a module, exec('') later: $(status_of "$python" -m handled settle)"
)
printf '%s\n' "$seen"
[[ $seen == "as a script: 7
as a module: 130
as a module, exec('') later: 7" ]]
