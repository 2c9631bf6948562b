#!/usr/bin/env bash
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# The steps that all images share; the Dockerfiles call them one by one, so that layers are kept.
#
#   install.sh ros DISTRO     ROS 2 from packages.ros.org, on a base that lacks it
#   install.sh packages       what package.xml and requirements/ros.in ask for
#   install.sh build          both packages into /opt/aitable
#   install.sh user           the user that the nodes run as, 10001
#
# Where there is no ROS 2 from apt, as in a bare Debian, `packages` takes it from PyPI (scripts/setup.sh):
# so docker/rehearse.sh runs the same steps.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$source_dir"
export DEBIAN_FRONTEND=noninteractive PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1

underlay() {
  if [[ -n ${ROS_DISTRO:-} && -e /opt/ros/$ROS_DISTRO/setup.bash ]]; then
    echo "/opt/ros/$ROS_DISTRO/setup.bash"
  else
    echo "$source_dir/.ros/env.bash"
  fi
}

source_underlay() {
  set +u  # setup files of ROS use variables that are not set
  # shellcheck source=/dev/null
  source "$(underlay)"
  set -u
}

install_ros() {
  apt-get update
  apt-get install -y --no-install-recommends ca-certificates curl
  curl -fsSL https://raw.githubusercontent.com/ros/rosdistro/master/ros.key \
    -o /usr/share/keyrings/ros-archive-keyring.gpg
  # shellcheck source=/dev/null
  echo "deb [signed-by=/usr/share/keyrings/ros-archive-keyring.gpg]" \
    "http://packages.ros.org/ros2/ubuntu $(. /etc/os-release && echo "$VERSION_CODENAME") main" \
    >/etc/apt/sources.list.d/ros2.list
  apt-get update
  apt-get install -y --no-install-recommends "ros-$1-ros-base" python3-rosdep \
    python3-colcon-common-extensions build-essential
  rosdep init
}

install_packages() {
  if [[ $(underlay) == "$source_dir"/* ]]; then
    scripts/setup.sh
    return
  fi
  source_underlay
  apt-get update
  apt-get install -y --no-install-recommends python3-pip
  rosdep update --rosdistro "$ROS_DISTRO"
  rosdep install --from-paths . aitable_msgs --ignore-src -y --rosdistro "$ROS_DISTRO" \
    --dependency-types exec --dependency-types build --dependency-types buildtool
  # exactly what the lock pins, and only what apt did not bring
  python3 scripts/maintenance/select_requirements.py requirements/ros.in requirements/ros.lock \
    >/tmp/missing.lock
  if [[ -s /tmp/missing.lock ]]; then
    python3 -m pip install --no-cache-dir --require-hashes --no-deps --ignore-installed \
      -r /tmp/missing.lock
  fi
  rm -rf /tmp/missing.lock /var/lib/apt/lists/*
}

build() {
  source_underlay
  # elsewhere, as colcon_defaults.yaml would link the installed files to the build folder
  (
    cd /tmp
    python3 "$(command -v colcon)" --log-base /tmp/log build --base-paths "$source_dir" \
      "$source_dir/aitable_msgs" --merge-install --install-base /opt/aitable --build-base /tmp/build \
      --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$(command -v python3)"
  )
  rm -rf /tmp/build /tmp/log
  printf 'source %q\nsource /opt/aitable/setup.bash\n' "$(underlay)" >/opt/aitable/environment.bash
}

make_user() {
  groupadd --gid 10001 aitable
  useradd --uid 10001 --gid aitable --groups video --home-dir /var/lib/aitable --create-home \
    --shell /usr/sbin/nologin aitable
  install -d -o aitable -g aitable /var/lib/aitable/engines
}

case ${1:-} in
  ros) install_ros "$2" ;;
  packages) install_packages ;;
  build) build ;;
  user) make_user ;;
  *) sed -n '/^# The steps/,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit 2 ;;
esac
