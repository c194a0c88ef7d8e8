#!/usr/bin/env bash
# The fuzz targets over their corpora, and over random inputs of a fixed seed.
set -eu
cd "$(dirname "$0")/.."
for replay in "${O:-build}"/fuzz/replay_*; do
	case $replay in *.o|*.d) continue;; esac
	target=${replay##*/replay_}
	printf '%s: ' "$target"
	find "fuzz/corpus/$target" -type f -print0 2>/dev/null | xargs -0 "$replay" -r 120
done
