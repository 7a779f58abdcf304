#!/usr/bin/env bash
# Makes what Debian does not have as static libraries, out of Debian's own sources, so that a broker can be linked into one
# file that runs in an empty container (bazel build --config=static).
#
#   deploy/container/static_libraries.sh FOLDER
#
# FOLDER gets libprometheus-cpp-core.a, libprometheus-cpp-pull.a (with civetweb in it), libspdlog.a, libfmt.a, libxxhash.a, and
# libpylabhub_static.a, a linker script that names everything that gRPC needs, in a group. Needs the packages of
# `third_party/install.sh build`, and root if apt has no lists of sources yet.
set -euo pipefail

[ $# -eq 1 ] || {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
  exit 2
}
mkdir -p "$1"
folder=$(readlink -f "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# apt with the mirrors that this machine is set to, and lists of its own that include the sources.
get_sources() {
  mkdir -p parts lists/partial
  apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" "Codename: bookworm" | sort -u |
    sed 's|.*|deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] & bookworm main|' >parts/sources.list
  [ -s parts/sources.list ] || {
    echo "static_libraries.sh: apt knows no mirror of Debian 12; run apt-get update first" >&2
    exit 1
  }
  local apt=(apt-get -q -o Dir::Etc::sourcelist="$work/parts/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root)
  "${apt[@]}" update >log 2>&1 && "${apt[@]}" source --download-only prometheus-cpp civetweb spdlog fmtlib xxhash >>log 2>&1 || {
    cat log >&2
    exit 1
  }
  local archive
  for archive in *.orig.tar.*; do tar -xf "$archive"; done
}

# compile NAME COMPILER FLAG... -- SOURCE...: objects for a library of this name.
compile() {
  local name=$1 compiler=$2 flags=() source
  shift 2
  while [ "$1" != -- ]; do
    flags+=("$1")
    shift
  done
  shift
  mkdir -p "objects/$name"
  for source in "$@"; do
    "$compiler" -O2 -DNDEBUG -ffunction-sections -fdata-sections "${flags[@]}" -c "$source" \
      -o "objects/$name/$(echo "$source" | tr / _).o"
  done
}

archive() { ar rcs "$folder/lib$1.a" objects/"$1"/*.o; }

build() {
  local part sources
  for part in core pull; do
    mapfile -t sources < <(find prometheus-cpp-*/$part/src -name '*.cc')
    compile prometheus-cpp-$part g++ -std=c++17 -DHAVE_ZLIB -I"$(echo prometheus-cpp-*/$part/src)" -- "${sources[@]}"
  done
  # Only what answers GET /metrics: no TLS, no scripts, no files.
  compile prometheus-cpp-pull gcc -DNO_SSL -DNO_CGI -DNO_FILES -DUSE_IPV6 -I"$(echo civetweb-*/include)" -- \
    civetweb-*/src/civetweb.c
  compile prometheus-cpp-pull g++ -I"$(echo civetweb-*/include)" -- civetweb-*/src/CivetServer.cpp
  compile spdlog g++ -std=c++17 -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL -- spdlog-*/src/*.cpp
  compile fmt g++ -std=c++17 -- fmtlib-*/src/format.cc fmtlib-*/src/os.cc
  # Debian's static one lacks what chooses the instructions when it runs.
  compile xxhash gcc -- xxHash-*/xxhash.c xxHash-*/xxh_x86dispatch.c
  archive prometheus-cpp-core
  archive prometheus-cpp-pull
  archive spdlog
  archive fmt
  archive xxhash
}

# gRPC's static libraries name each other in circles.
write_group() {
  local libraries=/usr/lib/x86_64-linux-gnu name
  {
    echo "GROUP ("
    for name in grpcpp_channelz grpc++_reflection grpc++ grpc gpr address_sorting upb cares re2 z ssl crypto protobuf sqlite3; do
      echo "  $libraries/lib$name.a"
    done
    find "$libraries" -name 'libabsl_*.a' | sort
    echo "  $folder/libprometheus-cpp-core.a $folder/libprometheus-cpp-pull.a $folder/libxxhash.a )"
  } >"$folder/libpylabhub_static.a"
}

get_sources
build
write_group
echo "static libraries are in $folder"
