# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
#
# shellcheck shell=bash
# Sourced by newcomer.sh and docker/rehearse.sh: a system with nothing in it, made by mmdebstrap, and
# commands in it. Needs root and mmdebstrap; for Ubuntu's suites also Ubuntu's keyring.

# make_root SUITE FOLDER: only what dpkg and apt need, as in the base images of containers.
make_root() {
  local suite=$1 folder=$2 mirror
  case $suite in
    jammy | noble | resolute) mirror='deb http://archive.ubuntu.com/ubuntu SUITE main universe' ;;
    *) mirror='deb http://deb.debian.org/debian SUITE main' ;;
  esac
  mmdebstrap --quiet --variant=minbase "$suite" "$folder" "${mirror/SUITE/$suite}" || return
  # the network as on this machine
  cp --remove-destination /etc/resolv.conf /etc/hosts "$folder/etc/"
  if [[ -e /etc/ssl/certs/ca-certificates.crt ]]; then
    mkdir -p "$folder/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
  fi
}

# clone_into FOLDER: what is committed here, to /root/aitable there.
clone_into() {
  git clone --quiet --depth 1 "file://$(git rev-parse --show-toplevel)" "$1/root/aitable"
}

# in_root FOLDER COMMAND...: as its root, in /root/aitable, with nothing of this shell but how this
# machine reaches the network.
in_root() (
  folder=$1
  shift
  network=()
  for name in PIP_CERT PIP_INDEX_URL SSL_CERT_FILE http_proxy https_proxy no_proxy; do
    [[ -z ${!name:-} ]] || network+=("$name=${!name}")
  done
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --pid --ipc --fork --kill-child bash -c '
    mkdir -p "$1/dev/shm" && mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/dev/shm" || exit
    exec chroot "$1" /usr/bin/env --chdir=/root/aitable -i "${@:2}"
  ' in_root "$folder" HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "${network[@]}" "$@"
)
