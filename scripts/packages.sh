#!/usr/bin/env bash
# Installs the Debian packages that running (`run`) or testing (`test`) needs. Where it cannot, it says what is missing.
set -euo pipefail

need=(containerd runc containernetworking-plugins nftables iptables conntrack iproute2 ca-certificates gcc libc6-dev)
if [ "${1:-run}" = test ]; then
  need+=(docker-registry crun git procps util-linux)
  command -v kubectl >/dev/null || need+=(kubernetes-client)
fi

if ! command -v cargo >/dev/null; then
  echo "cargo is not installed: Corten builds with Rust 1.95 or newer (https://rustup.rs)" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "this must be run as root: it starts containers and sets up networks (try: sudo make ...)" >&2
  exit 1
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "this is not a Debian or Ubuntu system; install the equivalents of these packages yourself: ${need[*]}" >&2
  for program in containerd runc nft ip; do
    command -v "$program" >/dev/null || { echo "missing program: $program" >&2; exit 1; }
  done
  exit 0
fi

missing=()
for package in "${need[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
# Another package may bring the same program (containerd.io, say); then Debian's is not put in its place.
keep=()
for package in "${missing[@]}"; do
  case $package in
    containerd | runc) command -v "$package" >/dev/null && continue ;;
  esac
  keep+=("$package")
done
[ ${#keep[@]} = 0 ] && exit 0

echo "installing ${keep[*]}"
export DEBIAN_FRONTEND=noninteractive
# Nothing may be started by an installation: Corten runs a containerd of its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${keep[@]}" >/dev/null
