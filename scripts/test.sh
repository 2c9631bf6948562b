#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Checks and tests aitable. Makes ready what is missing on the first run.
#
#   scripts/test.sh                 ruff, mypy, package.xml and all tests
#   scripts/test.sh -k tracker      only pytest, with these arguments
#   scripts/test.sh --colcon        ruff, mypy, and the tests through `colcon build && colcon test`
#   scripts/test.sh --optional      with PyTorch, ncnn and TensorRT-RTX (requirements/optional.txt),
#                                   which a part of the tests needs; goes with the others
#   scripts/test.sh --help          this text
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname "$scripts")

colcon=
optional=
pytest_arguments=()
for argument in "$@"; do
  case $argument in
    -h | --help)
      sed -n '/^# Checks/,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit
      ;;
    --colcon) colcon=1 ;;
    --optional) optional=1 ;;
    *) pytest_arguments+=("$argument") ;;
  esac
done
if [[ -n $colcon ]] && ((${#pytest_arguments[@]})); then
  echo 'aitable: error: --colcon runs all tests and takes no other arguments' >&2
  exit 2
fi

source "$scripts/ros_env.sh"
source "$scripts/session_env.sh"
take_domain
stay_local
use_shipped_transport
cd "$root"
if [[ -n $optional ]]; then
  if [[ $AITABLE_ROS_ENV != pypi ]]; then
    echo 'aitable: error: --optional is for the .venv; on a ROS machine install what' \
      'requirements/optional.txt names yourself' >&2
    exit 2
  fi
  python3 -m pip install --quiet --disable-pip-version-check -r requirements/optional.txt
fi

failed=()
# check NAME COMMAND...: run it, remember whether it failed, say how long it took.
check() {
  local name=$1 start=$SECONDS
  shift
  printf '\n===== %s\n' "$name"
  if "$@"; then
    printf '===== %s: passed (%d s)\n' "$name" $((SECONDS - start))
  else
    printf '===== %s: FAILED (%d s)\n' "$name" $((SECONDS - start))
    failed+=("$name")
  fi
}

# Plain colcon, as on any ROS machine: without the messages that scripts/setup.sh generated.
colcon_build_and_test() (
  prefix=${AMENT_PREFIX_PATH//"$root/.ros/install:"/}
  cmake_prefix=${CMAKE_PREFIX_PATH:-}
  export AMENT_PREFIX_PATH=$prefix CMAKE_PREFIX_PATH=${cmake_prefix//"$root/.ros/install:"/}
  if [[ $AITABLE_ROS_ENV == pypi ]]; then
    unset PYTHONPATH
  fi
  run_colcon=(python3 "$(command -v colcon)")
  rm -f build/*/pytest.xml
  "${run_colcon[@]}" build || return
  "${run_colcon[@]}" test --return-code-on-test-failure --pytest-args -m ros || return
  "${run_colcon[@]}" test-result --verbose || return
  if [[ ! -s build/aitable_ros/pytest.xml ]]; then
    echo 'colcon test ran no tests' >&2
    return 1
  fi
)

if ((${#pytest_arguments[@]})); then
  exec python3 -m pytest "${pytest_arguments[@]}"
fi
sources=(aitable_ros launch scripts test setup.py)
check 'ruff check' python3 -m ruff check "${sources[@]}"
check 'ruff format' python3 -m ruff format --check "${sources[@]}"
check 'mypy' python3 -m mypy
check 'mypy, scripts' python3 -m mypy scripts
# What does not use DDS runs beside what does, which waits for answers and goes first; its output
# comes when that has ended.
rest_log=$(mktemp)
trap 'rm -f "$rest_log"; kill "$rest" 2>/dev/null || true' EXIT
set -m # else what runs in the background ignores SIGINT, which tests send
nice -n 10 python3 -m pytest -m 'not ros' >"$rest_log" 2>&1 &
rest=$!
set +m
rest_passed() {
  local status=0
  wait "$rest" || status=$?
  cat "$rest_log"
  return "$status"
}
if [[ -n $colcon ]]; then
  check 'colcon build and test' colcon_build_and_test
else
  check 'pytest, with ROS' python3 -m pytest -m ros
fi
check 'pytest, the rest' rest_passed

printf '\n'
if ((${#failed[@]})); then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
printf 'all checks passed in %d s\n' "$SECONDS"
