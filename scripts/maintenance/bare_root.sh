# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
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
  [[ -z ${SSL_CERT_FILE:-} ]] || cp "$SSL_CERT_FILE" "$folder/certificates.crt"
}

# clone_into FOLDER: what is committed here, to /srv/aitable there.
clone_into() {
  git clone --quiet --depth 1 "file://$(git rev-parse --show-toplevel)" "$1/srv/aitable"
}

# in_root FOLDER COMMAND...: as its root, in /srv/aitable, with nothing of this shell but how this
# machine reaches the network.
in_root() (
  folder=$1
  shift
  network=()
  for name in PIP_INDEX_URL http_proxy https_proxy no_proxy; do
    [[ -z ${!name:-} ]] || network+=("$name=${!name}")
  done
  # where this machine trusts further certificates
  [[ -z ${SSL_CERT_FILE:-} ]] ||
    network+=(PIP_CERT=/certificates.crt SSL_CERT_FILE=/certificates.crt)
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --pid --ipc --fork --kill-child bash -c '
    mkdir -p "$1/dev/shm" && mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/dev/shm" || exit
    exec chroot "$1" /usr/bin/env --chdir=/srv/aitable -i "${@:2}"
  ' in_root "$folder" HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "${network[@]}" "$@"
)
