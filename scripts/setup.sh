#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes ready what running aitable needs, and does nothing when all is ready.
#
# With a ROS 2 environment sourced: installs into .venv the Python packages that rosdep does not
# know (only those that are missing) and builds both packages with colcon into build/ and install/.
# Without: makes .venv with ROS 2 from PyPI (requirements/jazzy.lock) and generates aitable_msgs
# into .ros/install. --distro kilted: with Kilted instead of Jazzy; it stays so in this clone.
#
# Either way the environment to work in ends up in .ros/env.bash, which ros_env.sh sources.
set -euo pipefail

readonly MIN_PYTHON=10 MAX_PYTHON=13  # Python 3.x for which the lock files have ROS wheels
readonly MIN_CMAKE=3.16
readonly MIN_GLIBC=2.28

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
state=$root/.ros
log=$state/setup.log
mkdir -p "$state"

# One setup at a time in one clone; the lock goes with this process, however it ends.
exec {lock_fd}>"$state/lock"
if ! flock --nonblock "$lock_fd"; then
  echo 'aitable: another setup is running in this folder; waiting for it' >&2
  flock "$lock_fd"
fi

# The distribution from PyPI: as asked for, as before, or Jazzy.
distro=$(cat "$state/distro" 2>/dev/null || echo jazzy)

say() { printf 'aitable: %s\n' "$*" >&2; }

die() {
  printf 'aitable: error: %s\n' "$1" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

# step TEXT COMMAND...: run a command with its output in the log; show the log's end if it fails.
step() {
  local text=$1 start_ms status
  start_ms=$(date +%s%3N)
  shift
  printf 'aitable: %s ... ' "$text" >&2
  printf '\n===== %s: %s\n' "$text" "$*" >>"$log"
  if "$@" >>"$log" 2>&1 {lock_fd}>&-; then
    local ms=$(($(date +%s%3N) - start_ms))
    printf '%d.%d s\n' $((ms / 1000)) $((ms % 1000 / 100)) >&2
  else
    status=$?
    printf 'failed\n' >&2
    tail -n 25 "$log" | sed 's/^/  | /' >&2
    die "'$text' failed with exit status $status; the whole log is $log" \
      'The next run starts this step again.'
  fi
}

hash_of() { sha256sum | cut -c1-32; }

# The files of the interface package: a change of any of them means generating anew.
hash_messages() {
  (cd "$root" && find aitable_msgs -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | hash_of
}

# ---------------------------------------------------------------------------------------------
# System packages

is_debian() { command -v apt-get >/dev/null; }

# need_system_packages WHAT PACKAGE...: install them (root on Debian or Ubuntu), or say how to.
need_system_packages() {
  local what=$1 hint
  shift
  if is_debian && ((EUID == 0)); then
    export DEBIAN_FRONTEND=noninteractive
    step "installing $* (for $what)" bash -c \
      'apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }' \
      apt "$@"
    return
  fi
  if is_debian; then
    hint="sudo apt-get update && sudo apt-get install -y $*"
  elif command -v dnf >/dev/null; then
    hint='sudo dnf install -y cmake gcc-c++ python3-devel util-linux'
  elif command -v pacman >/dev/null; then
    hint='sudo pacman -S --needed cmake gcc python'
  elif command -v zypper >/dev/null; then
    hint='sudo zypper install -y cmake gcc-c++ python3-devel'
  else
    hint='install a C++ compiler, CMake, and the headers and the venv module of Python'
  fi
  die "missing: $what. Install it, then run this again:" "$hint"
}

# Version, minor version, machine, headers there?, venv there?, the distribution's own?, path.
python_facts() {
  "$1" -c '
import importlib.util, os, platform, struct, sys, sysconfig
headers = os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
venv = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
print(platform.python_version(), sys.version_info[1] if sys.version_info[0] == 3 else 0,
      platform.machine() if struct.calcsize("P") == 8 else "32-bit", int(headers), int(venv),
      int(os.path.realpath(sys.executable).startswith("/usr/bin/")),
      getattr(sys, "_base_executable", sys.executable))' 2>/dev/null
}

# Sets python, python_version and python_minor to a Python that the lock file has wheels for.
choose_python() {
  local candidate version minor machine headers has_venv of_system path seen=()
  local candidates=(python3 python3.12 python3.11 python3.13 python3.10)
  # What .venv was made with stays, whichever python3 comes first on the PATH this time.
  [[ ! -x $venv/bin/python ]] || candidates=("$venv/bin/python" "${candidates[@]}")
  [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    candidate=$(command -v "$candidate") || continue
    read -r version minor machine headers has_venv of_system path < <(python_facts "$candidate") || continue
    seen+=("$candidate is Python $version ($machine)")
    ((minor >= MIN_PYTHON && minor <= MAX_PYTHON)) || continue
    [[ $machine == x86_64 ]] || continue
    python=$path python_version=$version python_minor=$minor
    python_headers=$headers python_has_venv=$has_venv python_of_system=$of_system
    return
  done
  if [[ $(uname -m) != x86_64 ]]; then
    die "ROS 2 comes from PyPI for 64-bit x86 only; this machine is $(uname -m)." \
      'Install ROS 2 (https://docs.ros.org/en/jazzy/Installation.html) and source its setup.bash,' \
      'then run this again.'
  fi
  if ! command -v python3 >/dev/null && is_debian && ((EUID == 0)); then
    need_system_packages Python python3-dev python3-venv
    choose_python
    return
  fi
  die "no suitable Python: 3.$MIN_PYTHON to 3.$MAX_PYTHON is needed, 64-bit x86." \
    "${seen[@]:-none was found}" \
    'Install one of them, or name it: PYTHON=/path/to/python3.12'
}

check_system() {
  local glibc missing=() what=()
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
  if [[ -z $glibc || $(printf '%s\n' "$MIN_GLIBC" "$glibc" | sort -V | head -n1) != "$MIN_GLIBC" ]]; then
    die "the ROS 2 wheels need glibc $MIN_GLIBC or newer; this system has ${glibc:-another C library}."
  fi
  if ! command -v "${CXX:-c++}" >/dev/null && ! command -v g++ >/dev/null; then
    what+=('a C++ compiler') missing+=(g++)
  fi
  if ! command -v cmake >/dev/null; then
    what+=(CMake) missing+=(cmake)
  fi
  command -v make >/dev/null || { what+=(make) && missing+=(make); }
  local package=python3
  ((python_of_system)) && package=python3.$python_minor
  ((python_headers)) || { what+=("the headers of Python $python_version") && missing+=("$package-dev"); }
  ((python_has_venv)) || { what+=("the venv module of Python $python_version") && missing+=("$package-venv"); }
  if ((${#missing[@]})); then
    local list
    list=$(printf ', %s' "${what[@]}")
    need_system_packages "${list:2}" "${missing[@]}"
  fi
  local cmake_version
  cmake_version=$(cmake --version | awk 'NR == 1 { print $3 }')
  [[ $(printf '%s\n' "$MIN_CMAKE" "$cmake_version" | sort -V | head -n1) == "$MIN_CMAKE" ]] ||
    die "CMake $MIN_CMAKE or newer is needed; $(command -v cmake) is $cmake_version."
}

# ---------------------------------------------------------------------------------------------
# The virtual environment

# .venv is ours to remove only if this script made it.
clear_venv() {
  [[ -e $venv ]] || return 0
  [[ -e $venv/.aitable ]] || rmdir "$venv" 2>/dev/null ||
    die "$venv was not made by this script. Move it away, then run this again."
  rm -rf "$venv"
}

# make_venv STAMP PYTHON OPTION...: a fresh .venv, finished only once finish_venv wrote the stamp.
make_venv() {
  local python=$1
  shift
  clear_venv
  mkdir -p "$venv"
  touch "$venv/.aitable"
  step "virtual environment .venv ($("$python" -V))" "$python" -m venv "$@" "$venv"
}

venv_is() { [[ -x $venv/bin/python && $(cat "$venv/.aitable" 2>/dev/null) == "$1" ]]; }

finish_venv() { printf '%s\n' "$1" >"$venv/.aitable"; }

# Wheels only, so that a missing one is an error and not an hour of compiling; empy has none.
pip_install() {
  "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --progress-bar off \
    --require-hashes --no-deps --only-binary=:all: --no-binary=empy "$@"
}

# ---------------------------------------------------------------------------------------------
# Without a ROS installation

build_messages_only() {
  rm -rf "$state/build" "$state/install"
  (
    cd "$state"
    export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
    export AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv
    unset COLCON_PREFIX_PATH PYTHONPATH
    "$venv/bin/python" "$venv/bin/colcon" --log-base "$state/log" build --merge-install \
      --base-paths "$root/aitable_msgs" --build-base "$state/build" \
      --install-base "$state/install" --event-handlers console_cohesion+ \
      --cmake-args "-DPython3_EXECUTABLE=$venv/bin/python" -DBUILD_TESTING=OFF
  ) || return  # `set -e` does not hold inside a condition, where step runs this
  # Not an underlay for colcon: a later plain `colcon build` builds aitable_msgs itself.
  rm -rf "$state/install/share/colcon-core"
}

setup_from_pypi() {
  local python python_version python_minor python_headers python_has_venv python_of_system
  choose_python
  printf '%s\n' "$distro" >"$state/distro"
  local lock=$root/requirements/$distro.lock
  local wanted
  wanted=$({ printf '%s\n' pypi "$python_version" "$venv"
    cat "$lock" "$root/scripts/maintenance/patch_ros_wheels.py"; } | hash_of)
  if ! venv_is "$wanted"; then
    say "no ROS 2 environment is sourced: setting up ROS 2 ${distro^} from PyPI in .venv (once)"
    : >"$log"
    check_system
    make_venv "$python"
    step 'ROS 2 and Python packages (a minute or two)' \
      pip_install -r "$lock"
    step 'patching the build paths of the ROS 2 wheels' \
      "$venv/bin/python" "$root/scripts/maintenance/patch_ros_wheels.py"
    step 'importing rclpy' "$venv/bin/python" -c 'import rclpy; rclpy.init(); rclpy.shutdown()'
    finish_venv "$wanted"
  fi
  local messages
  messages=$(printf '%s %s\n' "$wanted" "$(hash_messages)" | hash_of)
  if [[ $(cat "$state/install/.aitable" 2>/dev/null) != "$messages" ]]; then
    [[ -e $log ]] || : >"$log"
    check_system
    step 'generating the messages (aitable_msgs)' build_messages_only
    printf '%s\n' "$messages" >"$state/install/.aitable"
  fi

  local site=lib/python3.$python_minor/site-packages libraries
  libraries=$(printf ':%s' "$venv"/"$site"/ros_*.libs "$venv/lib")
  write_env <<END
# What another ROS 2 environment left in this shell is of no use here.
_aitable_foreign=\${AMENT_PREFIX_PATH:-}:\${COLCON_PREFIX_PATH:-}
$(declare -f _aitable_without)
export PYTHONPATH="\$(_aitable_without "\$_aitable_foreign" "\${PYTHONPATH:-}")"
export LD_LIBRARY_PATH="\$(_aitable_without "\$_aitable_foreign" "\${LD_LIBRARY_PATH:-}")"
export PATH="\$(_aitable_without "\$_aitable_foreign" "\$PATH")"
unset COLCON_PREFIX_PATH _aitable_foreign
export AITABLE_ROS_ENV=pypi ROS_DISTRO=$distro ROS_VERSION=2 ROS_PYTHON_VERSION=3
export VIRTUAL_ENV=$(printf %q "$venv")
_aitable_root=$(printf %q "$root")
export AMENT_PREFIX_PATH="\$_aitable_root/.ros/install:\$VIRTUAL_ENV"
export CMAKE_PREFIX_PATH="\$_aitable_root/.ros/install:\$VIRTUAL_ENV"
export PYTHONPATH="\$_aitable_root:\$_aitable_root/.ros/install/$site\${PYTHONPATH:+:\$PYTHONPATH}"
export LD_LIBRARY_PATH="\$_aitable_root/.ros/install/lib"$(printf %q "$libraries")"\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
$on_path
unset -f _aitable_without
END
}

# Prints the entries of a path list ($2) that lie below none of the prefixes in another ($1).
_aitable_without() {
  local entry prefix kept='' IFS=:
  for entry in $2; do
    for prefix in $1; do
      [[ -n $prefix && $prefix != /usr && $entry/ == "$prefix"/* ]] && continue 2
    done
    kept+=${kept:+:}$entry
  done
  printf '%s' "$kept"
}

# ---------------------------------------------------------------------------------------------
# On a machine with ROS 2

build_workspace() {
  # colcon under the chosen Python, so that the installed executables run with it.
  (cd "$root" && "$1" "$(command -v colcon)" build)
}

setup_on_ros() {
  local python wanted missing
  python=$(command -v python3)
  if [[ $python == "$venv"/* ]]; then
    python=$("$python" -c 'import sys; print(sys._base_executable)')
  fi
  command -v colcon >/dev/null ||
    need_system_packages colcon python3-colcon-common-extensions
  wanted=$({ printf '%s\n' ros "$ROS_DISTRO" "$("$python" -VV)" "$venv"
    cat "$root"/requirements/ros.{in,lock}; } | hash_of)
  if ! venv_is "$wanted"; then
    missing=$("$python" "$root/scripts/maintenance/select_requirements.py" "$root"/requirements/ros.{in,lock})
    if [[ -n $missing ]]; then
      : >"$log"
      say "ROS 2 $ROS_DISTRO: adding the Python packages that rosdep does not know (once)"
      "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        need_system_packages "the venv module of Python" python3-venv
      make_venv "$python" --system-site-packages
      printf '%s\n' "$missing" >"$state/missing.lock"
      step "Python packages from PyPI" pip_install -r "$state/missing.lock"
      finish_venv "$wanted"
    elif [[ -e $venv/.aitable ]]; then
      clear_venv
    fi
  fi
  if venv_is "$wanted"; then
    python=$venv/bin/python
  fi
  local module absent=()
  for module in numpy scipy cv2 yaml tqdm; do
    "$python" -c "import $module" 2>/dev/null || absent+=("$module")
  done
  ((${#absent[@]} == 0)) ||
    die "Python cannot import ${absent[*]}. Install what package.xml asks for, then run this again:" \
      "cd $(printf %q "$root") && rosdep install --from-paths . aitable_msgs --ignore-src -y"

  local built
  built=$({ printf '%s %s\n' "$wanted" "$(hash_messages)"
    cd "$root"
    cat setup.py setup.cfg package.xml colcon_defaults.yaml
    find aitable_ros launch config -type f -not -name '*.pyc' | LC_ALL=C sort; } | hash_of)
  if [[ $(cat "$root/install/.aitable" 2>/dev/null) != "$built" || ! -e $root/install/setup.bash ]]; then
    [[ -e $log ]] || : >"$log"
    step 'colcon build' build_workspace "$python"
    printf '%s\n' "$built" >"$root/install/.aitable"
  fi
  local enter_venv=''
  if [[ $python == "$venv"/* ]]; then
    enter_venv="export VIRTUAL_ENV=$(printf %q "$venv")"$'\n'"$on_path"
  fi
  write_env <<END
export AITABLE_ROS_ENV=system
case \$- in *u*) _aitable_u=1 ;; *) _aitable_u= ;; esac
set +u
source $(printf %q "$root/install/setup.bash")
[ -z "\$_aitable_u" ] || set -u
unset _aitable_u
$enter_venv
END
}

# ---------------------------------------------------------------------------------------------

# shellcheck disable=SC2016  # a line for env.bash, expanded there
on_path='case ":$PATH:" in *":$VIRTUAL_ENV/bin:"*) ;; *) export PATH="$VIRTUAL_ENV/bin:$PATH" ;; esac'

write_env() {
  { printf '# Written by scripts/setup.sh; sourced by scripts/ros_env.sh.\n' && cat; } >"$state/env.bash.new"
  mv "$state/env.bash.new" "$state/env.bash"
}

case "$*" in
  '') ;;
  '--distro jazzy' | '--distro kilted') distro=$2 ;;
  *) die "unknown arguments: $*" 'usage: scripts/setup.sh [--distro jazzy|kilted]' ;;
esac
if [[ ${AITABLE_ROS_ENV:-} != pypi && -n ${ROS_DISTRO:-} ]]; then
  (($# == 0)) || die "--distro is for machines without ROS; here ROS 2 $ROS_DISTRO is sourced."
  if python3 -c 'import rclpy' 2>"$state/rclpy.log"; then
    setup_on_ros
    exit
  fi
  say "ROS_DISTRO is '$ROS_DISTRO', but python3 cannot import rclpy: $(tail -n1 "$state/rclpy.log")"
fi
setup_from_pypi
