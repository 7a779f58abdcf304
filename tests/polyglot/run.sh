#!/usr/bin/env bash
# Talks to a real broker over mutual TLS from each language, with stubs made on the spot from proto/: registers a channel,
# finds it, keeps it, watches it, consumes it, gives it up, and is refused without a certificate. The programs and the commands
# are those of docs/languages.md. A line `LANGUAGE ok` for each.
#
#   tests/polyglot/run.sh [--binaries DIR] [LANGUAGE...]     default: python node go ruby java curl
#
# `curl` is `buf curl`, which takes the same requests as grpcurl: it sends those of docs/wire_api.md. Debian's packages that are
# missing are installed, and said; packages for Node come from npm, as package-lock.json pins them. --binaries names a folder
# with broker/pylabhub-broker and client/cli/pylabhub; else they are built. A language whose packages npm cannot get is
# `LANGUAGE skipped`; exit 77: all that was asked for was.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

binaries=
languages=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' tests/polyglot/run.sh && exit 0 ;;
    --binaries)
      binaries=${2:?a folder must follow --binaries}
      shift
      ;;
    python | node | go | ruby | java | curl) languages+=("$1") ;;
    *) echo "tests/polyglot/run.sh: no language '$1'; there are python, node, go, ruby, java and curl" >&2 && exit 2 ;;
  esac
  shift
done
[ ${#languages[@]} -gt 0 ] || languages=(python node go ruby java curl)
# Last, since the page ends by draining the broker.
[[ " ${languages[*]} " != *" curl "* ]] || languages=("${languages[@]/curl/}" curl)

scratch=$(mktemp -d)
broker_pid=
clean_up() {
  if [ -n "$broker_pid" ]; then
    kill "$broker_pid" 2>/dev/null || true
    wait "$broker_pid" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

install_for() {
  case "$1" in
    python) third_party/install.sh python_stubs ;;
    node | curl) command -v npm >/dev/null || third_party/install.sh node ;;
    *) third_party/install.sh "$1" ;;
  esac
}

start_broker() {
  if [ -z "$binaries" ]; then
    third_party/install.sh build
    . third_party/home.sh
    bazel build --config=opt --noshow_progress //broker:pylabhub-broker //client/cli:pylabhub
    binaries=bazel-bin
  fi
  "$binaries/client/cli/pylabhub" certs init "$scratch/certs" >/dev/null
  "$binaries/broker/pylabhub-broker" --port 0 --port-file "$scratch/port" --ca "$scratch/certs/ca.pem" \
    --server-cert "$scratch/certs/server.pem" --server-key "$scratch/certs/server.key" \
    --state-dir "$scratch/state" --admin "$(identity)" >"$scratch/broker.log" 2>&1 &
  broker_pid=$!
  for _ in $(seq 600); do
    [ -s "$scratch/port" ] && break
    kill -0 "$broker_pid" 2>/dev/null || break
    sleep 0.05
  done
  if ! [ -s "$scratch/port" ]; then
    cat "$scratch/broker.log" >&2
    echo "the broker did not start" >&2
    exit 1
  fi
  address=localhost:$(cat "$scratch/port")
}

# Whom the broker takes the client's certificate for.
identity() {
  "$binaries/client/cli/pylabhub" certs show "$scratch/certs/client.pem" | sed -n 's/^ *identity *//p'
}

# Runs what docs/languages.md has for a language, in a folder that has `proto` and `certs`.
try_page() {
  local title=$1 work=$scratch/$1
  mkdir "$work"
  ln -s "$PWD/proto" "$scratch/certs" "$work"
  python3 tests/polyglot/from_page.py docs/languages.md "$title" "$work"
  sed -i "s/localhost:5570/$address/" "$work/commands.sh"
  (cd "$work" && PYTHONDONTWRITEBYTECODE=1 bash -euo pipefail commands.sh)
}

try_python() { try_page Python; }
try_go() { try_page Go; }
try_ruby() { try_page Ruby; }
try_java() { try_page Java; }

try_node() {
  local modules
  modules=$(third_party/npm_packages.sh tests/polyglot/node) || return
  # In the place of npm on the page, what the lock file pins.
  npm() { ln -s "$modules" node_modules; }
  export -f npm
  export modules
  try_page Node
}

try_curl() {
  local modules
  modules=$(third_party/npm_packages.sh tests/proto/buf) || return
  python3 tests/polyglot/curl/wire_api_page.py "$modules/.bin/buf" "$address" "$scratch/certs"
}

start_broker
failed=()
skipped=()
for language in "${languages[@]}"; do
  [ -n "$language" ] || continue
  printf '\n== %s\n' "$language"
  status=0
  # A process of its own, which ends with the first command that fails.
  {
    install_for "$language"
    "try_$language"
  } >"$scratch/$language.log" 2>&1 &
  wait $! || status=$?
  cat "$scratch/$language.log"
  if [ "$status" -eq 77 ]; then
    echo "$language skipped"
    skipped+=("$language")
  elif [ "$status" -ne 0 ] || ! grep -qx "$language ok" "$scratch/$language.log"; then
    failed+=("$language")
  fi
done

echo
if [ ${#failed[@]} -gt 0 ]; then
  tail -n 20 "$scratch/broker.log"
  echo "failed: ${failed[*]}"
  exit 1
fi
[ ${#skipped[@]} -lt ${#languages[@]} ] || exit 77
