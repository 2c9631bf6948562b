#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# deepface, as pip installs it, cannot be imported: its picture module imports werkzeug, which is none of its requirements.
# One would guess that `pip install deepface` is what its own first example needs.
#
# deepface 0.0.103, CPython 3.11.7, Linux x86-64, 2026-11-30:
#   as installed: No module named 'werkzeug'
#   with werkzeug: imported
#
# Fails when that changes. Needs python3 with venv and PyPI.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export DEEPFACE_HOME=$folder
python3 -m venv venv
venv/bin/python -m pip install --quiet deepface==0.0.103
cat >show.py <<'END'
try:
    from deepface import DeepFace
except ModuleNotFoundError as error:
    print(error)
else:
    print('imported')
END
seen=$(
  echo "as installed: $(venv/bin/python show.py)"
  venv/bin/python -m pip install --quiet werkzeug
  echo "with werkzeug: $(venv/bin/python show.py)"
)
printf '%s\n' "$seen"
[[ $seen == "as installed: No module named 'werkzeug'
with werkzeug: imported" ]]
