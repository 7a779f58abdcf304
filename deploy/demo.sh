#!/usr/bin/env bash
# From nothing to real data through a secured channel, on one Debian 12 machine.
#
#   deploy/demo.sh [--seconds N] [--file-bytes N]
#
#   --seconds N      how long to sample this host at 1 kHz (default 5)
#   --file-bytes N   the size of the file that is moved (default 1 GiB)
#
# Installs what is missing with apt (and says so), builds, starts a broker on a free port of the loopback with certificates
# of its own, samples this host into a channel with two consumers, then moves a file made at random through a lossless
# channel and compares SHA-256. Leaves nothing running, and nothing in /dev/shm or the temporary folder. Ends with
#
#   demo: sampled=N received=N lost=0 torn=0 file_bytes=N sha256=equal
#
# and exit 0 if the figures are as they should be; 1 if not; 2 for a wrong command line.
# PYLABHUB_BIN: a folder with the programs, laid out as bazel-bin is; then nothing is installed or built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=5
file_bytes=$((1 << 30))

fail() {
  echo "demo: $*" >&2
  exit 1
}

usage_error() {
  echo "deploy/demo.sh: $*; see deploy/demo.sh --help" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' deploy/demo.sh
      exit 0
      ;;
    --seconds | --file-bytes)
      [ $# -ge 2 ] || usage_error "$1 needs a number"
      [[ $2 =~ ^[1-9][0-9]{0,12}$ ]] || usage_error "$1 $2: give a whole number from 1"
      if [ "$1" = --seconds ]; then seconds=$2; else file_bytes=$2; fi
      shift 2
      ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
done

say() { printf '\n== %s\n' "$*"; }

work=
id=
children=()
bazel_was_running=yes

# Ends what this script started, by process id, and waits for it. Runs on success, on failure and on Ctrl-C.
clean_up() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
  wait || true
  # A channel's last participant removes its files; this is for one that was killed.
  [ -z "$id" ] || find /dev/shm -maxdepth 1 -name "pylabhub.demo.*.$id.*" -delete
  [ -z "$work" ] || rm -rf "$work"
  [ -n "$bazel_was_running" ] || bazel shutdown </dev/null >/dev/null 2>&1 || true
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

free_bytes() { df --output=avail -B1 "$1" | tail -1; }

check_space() {
  local temporary=${TMPDIR:-/tmp}
  # The file, what arrives of it, and room for logs.
  local wanted=$((2 * file_bytes + (16 << 20)))
  [ "$(free_bytes "$temporary")" -ge "$wanted" ] ||
    fail "$temporary has $(free_bytes "$temporary") bytes free, and $wanted are needed; free some, set TMPDIR to a folder on a larger disk, or say --file-bytes N"
  wanted=$((32 << 20))
  [ "$(free_bytes /dev/shm)" -ge "$wanted" ] ||
    fail "/dev/shm has $(free_bytes /dev/shm) bytes free, and $wanted are needed; free some, or remount it larger"
}

bazel_server_runs() {
  local pid_file
  pid_file=$(readlink -f bazel-out 2>/dev/null)/../../../server/server.pid.txt
  [ -f "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null
}

build() {
  say "packages"
  third_party/install.sh build
  . third_party/home.sh
  say "build"
  bazel_server_runs || bazel_was_running=
  bazel build --config=opt //broker:pylabhub-broker //client/cli:pylabhub \
    //client/examples:host_sampler //client/examples:host_monitor </dev/null
  PYLABHUB_BIN=$PWD/bazel-bin
}

# start NAME COMMAND...: runs it in the background; its output goes to files in the temporary folder.
start() {
  local name=$1
  shift
  "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
  children+=($!)
}

# finish PID NAME: waits for its end, and fails with what it said if it failed.
finish() {
  wait "$1" || {
    cat "$work/$2.err" >&2
    fail "$2 failed; what it said is above"
  }
}

# The number that a line of JSON has for a key.
number() { sed -n "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p" "$2" | tail -1; }

start_broker() {
  say "broker"
  "$tool" certs init "$work/certs"
  start broker "$PYLABHUB_BIN/broker/pylabhub-broker" --port 0 --port-file "$work/port" \
    --ca "$work/certs/ca.pem" --server-cert "$work/certs/server.pem" --server-key "$work/certs/server.key" \
    --state-dir "$work/state"
  local broker=${children[-1]}
  until [ -s "$work/port" ]; do
    kill -0 "$broker" 2>/dev/null || finish "$broker" broker
    sleep 0.02
  done
  export PYLABHUB_BROKER="localhost:$(cat "$work/port")" PYLABHUB_CERTS="$work/certs"
  echo "listening on $PYLABHUB_BROKER, mutual TLS"
}

# What the broker knows once both consumers have registered, and one sample as a tool sees it that never saw the struct.
show_directory() {
  until "$tool" channels --output json | grep -q "\"channel\":\"$1\".*\"consumers\":2"; do
    kill -0 "$2" 2>/dev/null || return 0
    sleep 0.02
  done
  "$tool" channels
  "$tool" tail "$1" --latest --count 1 || true
}

sample_this_host() {
  say "this host, sampled at 1 kHz for $seconds s, with two consumers"
  local channel="demo.host.$id"
  start sampler "$PYLABHUB_BIN/client/examples/host_sampler" --channel "$channel" --seconds "$seconds" --consumers 2
  local sampler=${children[-1]}
  start lossless "$PYLABHUB_BIN/client/examples/host_monitor" --channel "$channel"
  local lossless=${children[-1]}
  start latest "$PYLABHUB_BIN/client/examples/host_monitor" --channel "$channel" --read latest
  local latest=${children[-1]}
  show_directory "$channel" "$sampler"
  tail -q -f --pid="$sampler" --sleep-interval=0.2 "$work/lossless.out" "$work/latest.out" | grep --line-buffered sample &
  local shown=$!
  finish "$sampler" sampler
  finish "$lossless" lossless
  finish "$latest" latest
  wait "$shown" || true
  sampled=$(number sampled "$work/sampler.out")
  received=$(number received "$work/lossless.out")
  lost=$(number lost "$work/lossless.out")
  torn=$(($(number torn "$work/lossless.out") + $(number torn "$work/latest.out")))
  echo "at the end: sampler $(cat "$work/sampler.out"), lossless $(tail -1 "$work/lossless.out"), latest $(tail -1 "$work/latest.out")"
}

move_a_file() {
  say "a file of $file_bytes bytes through a lossless channel"
  local channel="demo.file.$id"
  head -c "$file_bytes" /dev/urandom >"$work/sent"
  local begin=$EPOCHREALTIME
  start publish "$tool" publish "$channel" "$work/sent" --timeout 60s
  local publish=${children[-1]}
  "$tool" tail "$channel" --raw --wait 60s >"$work/received" 2>"$work/tail.err" </dev/null &
  local received_by=$!
  children+=("$received_by")
  finish "$publish" publish
  finish "$received_by" tail
  local elapsed_us=$((${EPOCHREALTIME/./} - ${begin/./}))
  received_bytes=$(stat -c %s "$work/received")
  echo "moved in $((elapsed_us / 1000)) ms, $((received_bytes / (elapsed_us + 1))) MB/s, the disk's time included"
  [ "$(sha256sum <"$work/sent")" = "$(sha256sum <"$work/received")" ] && sha256=equal || sha256=different
}

check_space
if [ -z "${PYLABHUB_BIN:-}" ]; then build; fi
tool=$PYLABHUB_BIN/client/cli/pylabhub
work=$(mktemp -d)
id=$$.$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
start_broker
sample_this_host
move_a_file

say "nothing is left"
kill "${children[@]}" 2>/dev/null || true
wait || true
left=$(find /dev/shm -name "*$id*")
[ -z "$left" ] || fail "left in /dev/shm: $left"

echo
echo "demo: sampled=$sampled received=$received lost=$lost torn=$torn file_bytes=$received_bytes sha256=$sha256"
[ "$received" -eq "$sampled" ] && [ "$sampled" -gt 0 ] && [ "$lost" -eq 0 ] && [ "$torn" -eq 0 ] &&
  [ "$received_bytes" -eq "$file_bytes" ] && [ "$sha256" = equal ]
