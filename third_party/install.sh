#!/usr/bin/env bash
# Installs the Debian packages that pylabhub builds and tests with. Says what it installs; does nothing when all is there.
#
#   third_party/install.sh GROUP...     default: build
#
#   build  compiler, Bazel and the libraries
#   bench  the peers that tests/bench measures
#   check  formatters, analysers, fuzzers, and the shells that completion is tried in
#   container  what deploy/container.sh builds and runs images with
#   python_stubs node go ruby java  what tests/polyglot makes and runs stubs of the wire API with, by language
set -euo pipefail

packages_of() {
  case "$1" in
    build)
      echo bazel-bootstrap bazel-rules-java bazel-rules-proto g++ grpc-proto openssl procps python3 \
        hdf5-tools libabsl-dev libbenchmark-dev libboost1.81-dev libcli11-dev libgmock-dev libgrpc++-dev libgtest-dev \
        libhdf5-dev libncurses-dev libprotobuf-dev libseccomp-dev libspdlog-dev libsqlite3-dev libssl-dev libxxhash-dev \
        nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc pybind11-dev python3-dev \
        python3-h5py python3-numpy
      ;;
    bench) echo etcd-server iceoryx libiceoryx-posh-dev liblmdb-dev libzmq3-dev ;;
    container) echo buildah catatonit debootstrap podman runc ;;
    check) echo clang clang-format clang-tidy fish libclang-rt-dev python3-grpcio spin zsh ;;
    python_stubs) echo libprotobuf-dev protobuf-compiler protobuf-compiler-grpc python3 python3-grpcio ;;
    node) echo nodejs npm ;;
    go)
      echo golang-go golang-github-golang-protobuf-1-5-dev golang-google-grpc-dev golang-google-protobuf-dev \
        protobuf-compiler protoc-gen-go-1-5 protoc-gen-go-grpc
      ;;
    ruby) echo libprotobuf-dev protobuf-compiler protobuf-compiler-grpc ruby ruby-grpc ;;
    java)
      echo default-jdk-headless libgeronimo-annotation-1.3-spec-java libgrpc-java libguava-java libnetty-java libnetty-tcnative-java \
        libnetty-tcnative-jni libperfmark-java libprotobuf-dev libprotobuf-java protobuf-compiler protobuf-compiler-grpc-java-plugin
      ;;
    *)
      echo "third_party/install.sh: unknown group '$1'; see --help" >&2
      exit 2
      ;;
  esac
}

wanted=()
for group in "${@:-build}"; do
  # In two steps: an unknown group must end the script, and it would not from inside <( ).
  list=$(packages_of "$group")
  read -ra names <<<"$list"
  wanted+=("${names[@]}")
done

missing=()
for name in "${wanted[@]}"; do
  dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "These Debian packages are missing; install them as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi
echo "Installing with apt: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${sudo[@]}" apt-get update -q && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "third_party/install.sh: apt-get failed; its output is above" >&2
  exit 1
fi
