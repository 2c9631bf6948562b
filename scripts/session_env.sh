# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by demo.sh and test.sh after ros_env.sh: a ROS domain of their own, on this machine only,
# and the image transport that aitable ships.

# take_domain: set ROS_DOMAIN_ID to one that nothing on this machine uses, and hold it (file
# descriptor 9) as long as this process or one of its children lives.
take_domain() {
  local domain used lock
  # DDS takes UDP ports from 7400 + 250 * domain on; /proc has ports in hexadecimal.
  used=" $(awk 'FNR > 1 { split($2, address, ":"); print address[2] }' /proc/net/udp /proc/net/udp6 2>/dev/null |
    while read -r port; do echo $(((16#$port - 7400) / 250)); done | sort -un | tr '\n' ' ')"
  for domain in $(shuf -i 1-100); do
    [[ $used != *" $domain "* ]] || continue
    lock=${TMPDIR:-/tmp}/aitable-domain-$domain.lock
    { exec 9>"$lock"; } 2>/dev/null || continue
    if flock --nonblock 9; then
      export ROS_DOMAIN_ID=$domain
      return
    fi
  done
  echo 'aitable: error: every ROS domain from 1 to 100 is in use on this machine' >&2
  return 1
}

# stay_local: let no other machine see what runs here.
stay_local() {
  if [[ $ROS_DISTRO == humble ]]; then
    export ROS_LOCALHOST_ONLY=1
  else
    unset ROS_LOCALHOST_ONLY
    export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
  fi
}

use_shipped_transport() {
  local settings
  settings=$(python3 -m aitable_ros.ros_support.process.transport)
  eval "$settings"
}
