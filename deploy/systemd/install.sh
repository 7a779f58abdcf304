#!/usr/bin/env bash
# Puts a broker that was built here (bazel build --config=opt //broker:pylabhub-broker //client/cli:pylabhub) in place as a
# service of systemd: programs, unit, user, configuration. Run it again after each build; a configuration that is there stays.
#
#   deploy/systemd/install.sh [--root DIR]
#
#   --root DIR   the system's root: for images and tests; then no user is made and systemd is not told
#
# PYLABHUB_BIN: a folder with the programs, laid out as bazel-bin is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

root=
case "${1:-}" in
  "") ;;
  --root) root=${2:?--root needs a folder} ;;
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' deploy/systemd/install.sh && exit 0 ;;
  *) echo "deploy/systemd/install.sh: unknown argument '$1'; use --root DIR or nothing" >&2 && exit 2 ;;
esac
bin=${PYLABHUB_BIN:-bazel-bin}
for program in broker/pylabhub-broker client/cli/pylabhub; do
  [ -x "$bin/$program" ] || {
    echo "deploy/systemd/install.sh: $bin/$program is not there; build it first (see --help)" >&2
    exit 1
  }
  install -D -m 0755 -t "$root/usr/bin" "$bin/$program"
done
install -D -m 0644 -t "$root/usr/lib/systemd/system" deploy/systemd/pylabhub-broker.service
install -D -m 0644 deploy/systemd/pylabhub.sysusers "$root/usr/lib/sysusers.d/pylabhub.conf"
install -D -m 0644 deploy/systemd/pylabhub.tmpfiles "$root/usr/lib/tmpfiles.d/pylabhub.conf"
if [ -z "$root" ]; then
  systemd-sysusers pylabhub.conf
  systemd-tmpfiles --create pylabhub.conf
fi
configuration=$root/etc/pylabhub/broker.textproto
if [ ! -e "$configuration" ]; then
  install -D -m 0640 deploy/broker.textproto "$configuration"
  # Where clients of other users can reach it: the state folder is the broker's alone.
  sed -i 's|^  socket: "" |  socket: "/run/pylabhub/hand_over.sock" |' "$configuration"
  [ -n "$root" ] || chgrp pylabhub "$configuration"
fi
[ -n "$root" ] || ! [ -d /run/systemd/system ] || systemctl daemon-reload
echo "installed; start it with: systemctl enable --now pylabhub-broker"
