# For scripts that run Bazel: source it. Bazel keeps its output under the home folder, and refuses to start without one.
if ! { [ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ]; }; then
  HOME="${TMPDIR:-/tmp}/pylabhub-home-$(id -u)"
  mkdir -p -m 0700 "$HOME"
  if ! [ -O "$HOME" ] || [ -L "$HOME" ]; then
    echo "$HOME belongs to somebody else; set HOME to a folder of yours" >&2
    exit 1
  fi
  export HOME
  echo "HOME is not a folder that can be written; using $HOME"
fi
# Links that a Bazel with another home folder left here would be read as folders of sources. The build makes them anew.
find . -maxdepth 1 -type l -name 'bazel-*' ! -lname "$HOME/*" -delete
