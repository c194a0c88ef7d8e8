#!/usr/bin/env bash
# The examples, built against the installed library through pkg-config, shared and static, as an embedder does (H1, B6).
set -u
cd "$(dirname "$0")/.." || exit 2
O=${O:-build}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
make -s O="$O" install PREFIX="$root/usr" >"$root/log" 2>&1 || { cat "$root/log"; exit 1; }
export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig LD_LIBRARY_PATH=$root/usr/lib
bad=0
expect() { # EXAMPLE: its output, without addresses, on standard input
	local source=examples/$1.c expected link
	expected=$(cat)
	for link in shared static; do
		local libs
		libs=$(pkg-config --libs aspace)
		[ $link = static ] && libs="-Wl,-Bstatic $libs -Wl,-Bdynamic $(pkg-config --libs --static aspace | tr ' ' '\n' | grep pthread)"
		# shellcheck disable=SC2046,SC2086
		if ! (cd "$root" && cc -Wall -Wextra -Werror -O1 -o "$1" "$OLDPWD/$source" $(pkg-config --cflags aspace) $libs); then
			echo "FAIL $1 ($link) doesn't build"; bad=1; continue
		fi
		got=$("$root/$1" | sed -E 's/^[0-9a-f]+-[0-9a-f]+ /AREA /; s/ +$//')
		if [ "$got" = "$expected" ]; then echo "ok   $1 ($link)"; else
			echo "FAIL $1 ($link)"; diff <(echo "$expected") <(echo "$got"); bad=1
		fi
	done
}
expect two_spaces <<'END'
parent  reads "the first page of the file"
parent  reads "written before the fork"
child   reads "written by the child"
parent  reads "THE first page of the file"
the file holds "THE first page of the file"

the parent's maps:
AREA rw-s 00000000 00:00 42                         /a/file
AREA rw-p 00000000 00:00 0
the child's maps:
AREA rw-s 00000000 00:00 42                         /a/file
AREA rw-p 00000000 00:00 0
AREA r--p 00000000 00:00 0
AREA rw-p 00000000 00:00 0
the child: 4 areas, 1 anonymous pages
END
expect emulator_loop <<'END'
sum 2546416, 474 faults
after fork: sum 2546416, flushed, 474 faults
the guest gets signal 11, code 1, at the array's byte 409631
END
expect framebuffer <<'END'
/dev/fb0 is mapped, IO and PFNMAP
line  0: #####
line  9: #####
line 18: #####
line 27: #####
line 36: #####
line 45: #####
line 54: #####
line 63: #####
beyond the screen: signal 7
areas left: 0
END
[ "$("$root/usr/bin/aspace" run -- echo installed)" = installed ] && echo 'ok   the installed command' || { echo 'FAIL the installed command'; bad=1; }
make -s O="$O" uninstall PREFIX="$root/usr" >/dev/null
left=$(find "$root/usr" -type f -o -type l)
[ -z "$left" ] && echo 'ok   uninstall leaves nothing' || { echo "FAIL uninstall leaves $left"; bad=1; }
exit $bad
