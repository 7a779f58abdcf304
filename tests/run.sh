#!/usr/bin/env bash
# Runs every test. The last line is `N passed, N failed` (and `, N skipped`); exit 0 only if some ran and none failed.
#
#   tests/run.sh         packages, format, buf over proto/, bazel test //..., clang-tidy, nothing left in /dev/shm
#   tests/run.sh --all   also AddressSanitizer with UBSan, ThreadSanitizer, every language's stubs, tests tagged `soak`, and
#                        the containers of deploy/container.sh
#
# What it counts are test cases; each step that is not a Bazel test counts as one. Needs Debian 12; installs the rest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

all=
for argument in "$@"; do
  case "$argument" in
    --all) all=1 ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' tests/run.sh && exit 0 ;;
    *) echo "tests/run.sh: unknown argument '$argument'; use --all or nothing" >&2 && exit 2 ;;
  esac
done

passed=0
failed=0
skipped=0
failures=()

say() { printf '\n== %s\n' "$*"; }

# verdict NAME STATUS: counts a step that is not a Bazel test.
verdict() {
  if [ "$2" -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$1")
    echo "FAILED: $1"
  fi
}

finish() {
  local tail=
  [ "$skipped" -gt 0 ] && tail=", $skipped skipped"
  [ ${#failures[@]} -gt 0 ] && printf '\nFailed steps: %s\n' "${failures[*]}"
  printf '\n%s passed, %s failed%s\n' "$passed" "$failed" "$tail"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}

bazel_options=(--config=opt --color=no --curses=no)
startup_options=()
if [ -n "${CI:-}" ]; then
  # A server of its own that goes away by itself, should this script be killed before it can tell it to.
  startup_options=(--max_idle_secs=60)
fi

run_bazel() { bazel "${startup_options[@]}" "$@" </dev/null; }

# bazel_test NAME OPTION... TARGET...: runs tests, and adds what their reports say to the count.
bazel_test() {
  local name=$1 events status counts
  shift
  say "$name"
  events=$(mktemp "$scratch/events.XXXXXX")
  run_bazel test "${bazel_options[@]}" --keep_going --build_event_json_file="$events" "$@"
  status=$?
  counts=$(python3 tests/lint/count_tests.py "$events")
  local its_passed its_failed its_skipped
  read -r its_passed its_failed its_skipped <<<"$counts"
  # 4 means that no test matched, which is no failure of a filter; any other status must show in the count.
  [ "$status" -ne 0 ] && [ "$status" -ne 4 ] && [ "$its_failed" -eq 0 ] && its_failed=1
  passed=$((passed + its_passed))
  failed=$((failed + its_failed))
  skipped=$((skipped + its_skipped))
  [ "$its_failed" -gt 0 ] && failures+=("$name")
  echo "$name: $its_passed passed, $its_failed failed, $its_skipped skipped"
}

check_format() {
  say "clang-format"
  local sources=()
  mapfile -t sources < <(find broker client proto shm tests third_party -name node_modules -prune -o \
    \( -name '*.cc' -o -name '*.h' \) -print)
  [ ${#sources[@]} -eq 0 ] || clang-format --dry-run -Werror "${sources[@]}"
  verdict clang-format $?
}

# Skipped, and said so, where buf cannot be had.
check_with_buf() {
  local status
  say "buf"
  tests/proto/buf/check.sh
  status=$?
  if [ "$status" -eq 77 ]; then
    skipped=$((skipped + 1))
  else
    verdict buf "$status"
  fi
}

# Each language is a test; one whose libraries cannot be had is skipped, and said so.
check_languages() {
  say "languages"
  local log=$scratch/languages language
  tests/polyglot/run.sh 2>&1 | tee "$log"
  for language in python node go ruby java curl; do
    if grep -qx "$language skipped" "$log"; then
      skipped=$((skipped + 1))
    else
      grep -qx "$language ok" "$log"
      verdict "language: $language" $?
    fi
  done
}

# Skipped, and said so, where debootstrap may not make a base image.
check_containers() {
  say "containers"
  if [ "$(id -u)" -ne 0 ]; then
    echo "not run: deploy/container.sh needs root"
    skipped=$((skipped + 1))
    return
  fi
  deploy/container.sh --test
  verdict containers $?
  bazel_test "the page about containers" //tests/docs:containers_page_test
}

check_with_clang_tidy() {
  say "clang-tidy"
  run_bazel build "${bazel_options[@]}" --config=tidy //...
  verdict clang-tidy $?
}

# libpod_lock is podman's, for all of its containers.
shared_memory_names() { find /dev/shm -mindepth 1 -maxdepth 1 -user "$(id -u)" ! -name libpod_lock -printf '%f\n' | sort; }

# What the tests left in /dev/shm. A name that a living process still maps or holds open is somebody's, not a leak.
check_shared_memory() {
  say "nothing left in /dev/shm"
  local name leaked=0
  while read -r name; do
    if ! cat /proc/[0-9]*/maps 2>/dev/null | grep -qF "/dev/shm/$name" &&
      ! find /proc/[0-9]*/fd -lname "/dev/shm/$name" 2>/dev/null | grep -q . && [ -e "/dev/shm/$name" ]; then
      echo "left behind: /dev/shm/$name"
      leaked=1
    fi
  done < <(comm -13 "$scratch/shm_before" <(shared_memory_names))
  verdict "nothing left in /dev/shm" "$leaked"
}

say "packages"
third_party/install.sh build check || { failed=1 && failures+=(packages) && finish; }
. third_party/home.sh
scratch=$(mktemp -d)
clean_up() {
  rm -rf "$scratch"
  [ -z "${CI:-}" ] || run_bazel shutdown
}
trap clean_up EXIT
trap 'exit 130' INT TERM
shared_memory_names >"$scratch/shm_before"

check_format
check_with_buf
bazel_test "tests" //...
check_with_clang_tidy
if [ -n "$all" ]; then
  check_languages
  bazel_test "tests with AddressSanitizer and UBSan" --config=asan //...
  bazel_test "tests with ThreadSanitizer" --config=tsan //...
  large=$(run_bazel query --noshow_progress 'attr(tags, "\bsoak\b", tests(//...))' 2>/dev/null)
  # shellcheck disable=SC2086  # One label a line.
  [ -z "$large" ] || bazel_test "soaks" $large
  check_containers
fi
check_shared_memory
finish
