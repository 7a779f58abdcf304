#!/usr/bin/env bash
# Runs buf over proto/: its lint rules, and nothing that breaks who speaks the frozen wire API.
#
# buf comes from npm, in the version that package-lock.json names, once for each lock file. Exit 77: it could not be had,
# and nothing was checked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD

modules=$(../../../third_party/npm_packages.sh .) || exit
buf=$modules/.bin/buf

cd ../../../proto
frozen=$here/../frozen/pylabhub_v1.binpb
"$buf" lint
"$buf" breaking --against "$frozen"

# A check that cannot fail checks nothing: a field that gets another number must be found.
mutant=$(mktemp -d)
trap 'rm -rf "$mutant"' EXIT
cp -r . "$mutant"
sed -i 's/^  string session_id = 1;/  string session_id = 1000;/' "$mutant/pylabhub/v1/broker.proto"
if (cd "$mutant" && "$buf" breaking --against "$frozen" >"$mutant/findings"); then
  echo "buf breaking did not find a field that was renumbered" >&2
  exit 1
fi
grep -q session_id "$mutant/findings"
