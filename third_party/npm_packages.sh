#!/usr/bin/env bash
# Prints the node_modules of a folder's package-lock.json: fetched from npm once for each lock file, and kept in the cache.
#
#   third_party/npm_packages.sh FOLDER
#
# Exit 77: they cannot be had here.
set -euo pipefail
folder=$1
lock=$folder/package-lock.json
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pylabhub-npm/$(sha256sum "$lock" | cut -c1-16)
if [ ! -e "$cache/complete" ]; then
  mkdir -p "$(dirname "$cache")"
  fresh=$(mktemp -d "$cache.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  cp "$folder/package.json" "$lock" "$fresh"
  if ! (cd "$fresh" && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-timeout=20000) >&2; then
    echo "The packages of $lock could not be had: is there an npm, and can it reach its registry?" >&2
    exit 77
  fi
  touch "$fresh/complete"
  # Somebody else may have been as quick.
  mv -T "$fresh" "$cache" 2>/dev/null || [ -e "$cache/complete" ]
fi
echo "$cache/node_modules"
