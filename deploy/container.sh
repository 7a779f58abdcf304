#!/usr/bin/env bash
# Builds the broker's container image with podman, on one Debian 12 machine, from nothing but Debian's packages.
#
#   deploy/container.sh [--test]
#
# Installs podman and debootstrap with apt if they are missing (and says so), makes a Debian 12 base image from the mirror that
# this machine's apt is set to, and builds localhost/pylabhub-broker, localhost/pylabhub-tool and localhost/pylabhub-peers
# (deploy/Containerfile). Needs root, for debootstrap.
#
# With --test it then runs them, hardened: a broker in one container, a producer and a consumer in two others. First these have
# nothing in common but the folder of the broker's hand-over socket; then a broker that hands nothing over, and a shared /dev/shm.
# It looks at what the broker's health check says, and ends with
#
#   container: image_mb=N received=N lost=0
#
# and exit 0 if the image is under 20 MB, something was received and nothing was lost. Leaves no container and nothing in
# /dev/shm; the images stay.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly base=localhost/pylabhub-debian:12
readonly limit_mb=20
test=

fail() {
  echo "container: $*" >&2
  exit 1
}

for argument in "$@"; do
  case "$argument" in
    --test) test=1 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' deploy/container.sh && exit 0 ;;
    *) echo "deploy/container.sh: unknown argument '$argument'; use --test or nothing" >&2 && exit 2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || fail "debootstrap needs root; run this with sudo"

say() { printf '\n== %s\n' "$*"; }

work=
id=$$-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
clean_up() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  podman rm -f -t 0 "broker-$id" "sampler-$id" "monitor-$id" >/dev/null 2>&1 || true
  podman volume rm -f "state-$id" >/dev/null 2>&1 || true
  [ -z "$work" ] || rm -rf "$work" "/dev/shm/pylabhub-container-$id"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Settings under which podman works where there is no systemd and no seccomp profile of crun's.
configure_podman() {
  work=$(mktemp -d)
  cat >"$work/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
  export CONTAINERS_CONF=$work/containers.conf
}

make_base() {
  podman image exists "$base" && return
  say "a Debian 12 base, by debootstrap"
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" "Codename: bookworm" | head -1)
  [ -n "$mirror" ] || fail "apt knows no mirror of Debian 12; run apt-get update first"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$work/debian" "$mirror" >"$work/debootstrap.log" ||
    { tail "$work/debootstrap.log" >&2 && fail "debootstrap failed; the end of its log is above"; }
  # The machine's own mirrors and proxies, security updates among them.
  rm -f "$work/debian/etc/apt/sources.list"
  cp -a /etc/apt/sources.list* /etc/apt/apt.conf.d "$work/debian/etc/apt/"
  tar -C "$work/debian" -c . | podman import - "$base" >/dev/null
  rm -rf "$work/debian"
}

build_image() {
  say "image pylabhub-$1"
  # The build's cache is the machine's own, where there is one: it holds results by what went into them.
  local cache=${HOME:-/root}/.cache/pylabhub-bazel
  mkdir -p "$cache"
  podman build --format docker --ignorefile deploy/Containerfile.dockerignore --network=host --build-arg BASE="$base" --volume "$cache:/root/.cache/pylabhub-bazel" \
    --target "$1" -t "localhost/pylabhub-$1" -f deploy/Containerfile . >"$work/build.log" 2>&1 || {
    tail -40 "$work/build.log" >&2
    fail "podman build failed; the end of its log is above"
  }
  tail -1 "$work/build.log"
}

# The container's own user, no capability, nothing to write to but what is mounted.
hardened=(--network=host --read-only --cap-drop=all --security-opt no-new-privileges --user 65532:65532)

# The number that a line of JSON has for a key.
number() { sed -n "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p" "$2" | tail -1; }

# start_broker OPTION...
start_broker() {
  # podman leaves regular health checks to systemd, which may not be there: it is asked below, once.
  podman run -d --no-healthcheck --name "broker-$id" "${hardened[@]}" --volume "state-$id:/state" --volume "$run:/run/pylabhub" \
    localhost/pylabhub-broker --address=127.0.0.1 --port=0 --port-file=/state/port "$@" >/dev/null
  state=$(podman volume inspect --format '{{.Mountpoint}}' "state-$id")
  until [ -s "$state/port" ]; do
    [ "$(podman inspect --format '{{.State.Running}}' "broker-$id")" = true ] ||
      { podman logs "broker-$id" >&2 && fail "the broker ended; what it said is above"; }
    sleep 0.05
  done
  port=$(cat "$state/port")
  podman exec "broker-$id" /pylabhub-broker health "127.0.0.1:$port"
}

stop_broker() {
  podman stop -t 15 "broker-$id" >/dev/null
  local ended
  ended=$(podman inspect --format '{{.State.ExitCode}}' "broker-$id")
  [ "$ended" -eq 0 ] || fail "the broker ended with $ended when it was told to stop"
  podman rm "broker-$id" >/dev/null
}

# run_peer NAME PROGRAM ARGUMENT...: in a container of its own, which has the broker's client certificate and what
# `shared` says.
run_peer() {
  local name=$1
  shift
  podman run --rm --name "$name-$id" "${hardened[@]}" --volume "$state/certs:/certs:ro" "${shared[@]}" --entrypoint "$1" \
    localhost/pylabhub-peers "${@:2}" --broker "localhost:$port" --certs /certs --channel "container.$id" \
    >"$work/$name.out" 2>"$work/$name.err"
}

# Moves samples from one container to another, and adds to `received` and `lost`.
move_samples() {
  run_peer sampler /host_sampler --seconds 3 --consumers 1 &
  local sampler=$!
  run_peer monitor /host_monitor || { cat "$work/monitor.err" >&2 && fail "the consumer failed; what it said is above"; }
  wait "$sampler" || { cat "$work/sampler.err" >&2 && fail "the producer failed; what it said is above"; }
  tail -1 "$work/monitor.out"
  received=$((received + $(number received "$work/monitor.out")))
  lost=$((lost + $(number lost "$work/monitor.out")))
}

move_by_hand_over() {
  say "a producer and a consumer that share the folder of the hand-over socket"
  start_broker --handover-socket=/run/pylabhub/hand_over.sock
  shared=(--volume "$run:/run/pylabhub")
  move_samples
  stop_broker
}

move_by_shared_memory() {
  say "a producer and a consumer that share /dev/shm"
  start_broker --handover-socket=none
  install -d -m 0700 -o 65532 -g 65532 "/dev/shm/pylabhub-container-$id"
  shared=(--volume "/dev/shm/pylabhub-container-$id:/dev/shm")
  move_samples
  stop_broker
  local left
  left=$(ls "/dev/shm/pylabhub-container-$id")
  [ -z "$left" ] || fail "left in /dev/shm: $left"
}

third_party/install.sh container
configure_podman
make_base
for image in broker tool peers; do build_image "$image"; done
image_bytes=$(podman image inspect --format '{{.Size}}' localhost/pylabhub-broker)
image_mb=$(((image_bytes + 999999) / 1000000))
if [ -z "$test" ]; then
  echo
  echo "container: image_mb=$image_mb"
  exit 0
fi

run=$work/run
install -d -m 0700 -o 65532 -g 65532 "$run"
received=0
lost=0
move_by_hand_over
by_hand_over=$received
move_by_shared_memory

echo
echo "container: image_mb=$image_mb received=$received lost=$lost"
[ "$image_mb" -lt "$limit_mb" ] && [ "$by_hand_over" -gt 0 ] && [ "$received" -gt "$by_hand_over" ] && [ "$lost" -eq 0 ]
