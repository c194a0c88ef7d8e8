#!/usr/bin/env bash
# The architecture's rules hold, and scripts/floors sees it when they don't.
set -u
cd "$(dirname "$0")/.." || exit 2
O=${O:-build}
scripts/floors "$O" || exit 1
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/build"
cp -r include lib kernel tools scripts tests "$copy" && cp "$O/libaspace.so" "$copy/build"
expect() { # WHAT FILE LINE: a rule broken is found
	echo "$3" >>"$copy/$2"
	"$copy/scripts/floors" build >"$copy/out" && { echo "not found: $1"; exit 1; }
	cp "$2" "$copy/$2"
	echo "found: $1"
}
expect 'an upward include' lib/base/list.h '#include "mm/internal.h"'
expect 'a sideways include' lib/mm/mmap.c '#include "hw/cpu.h"'
expect 'Unicorn elsewhere' kernel/entry.c '#include <unicorn/unicorn.h>'
expect 'a circle' lib/base/util.h '#include "base/list.h"'
sed -i /memcpy/d "$copy/lib/symbols.txt"
"$copy/scripts/floors" build >"$copy/out" && { echo "not found: a symbol from outside"; exit 1; }
echo 'found: a symbol from outside'
