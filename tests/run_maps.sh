#!/usr/bin/env bash
# /proc/self/maps inside is the host's to the byte, randomization off on both sides.
#
# Left out: the lines of [vvar], [vvar_vclock] and [vdso], which are the host's clocks (docs/differences), and
# the inode numbers of shared memory, which count what the host has made. Every other byte is compared.
#
# Both sides get one environment, byte for byte: a shell keeps its variables on the heap, and the `_` it is given
# is the name of whoever started it. With the caller's environment the heap could end on either side of a page.
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
setarch -R true 2>/dev/null || { echo "setarch -R isn't allowed here"; exit 77; }
cd "$work" || exit 2
comparable() {
	sed '/\[vvar/d; /\[vdso\]/d; s/ 00:01 [0-9]* *\// 00:01 INODE \//'
}
same_maps() { # NAME COMMAND...
	local name=$1
	shift
	cases=$((cases + 1))
	setarch -R env -i PATH="$PATH" LANG="${LANG-C}" "$@" </dev/null 2>/dev/null | comparable >native.maps
	"$aspace" run -- env -i PATH="$PATH" LANG="${LANG-C}" "$@" </dev/null 2>/dev/null | comparable >inside.maps
	if [ "$(grep -c . native.maps)" -gt 3 ] && cmp -s native.maps inside.maps; then
		echo "ok   $name ($(grep -c . native.maps) lines)"
		return
	fi
	failures=$((failures + 1))
	echo "FAIL $name: native < > inside"
	diff native.maps inside.maps | head -n 12
}
same_maps 'cat' cat /proc/self/maps
same_maps 'a static program' busybox cat /proc/self/maps
same_maps 'a shell after forks and pipes' bash -c 'x=$(seq 100 | wc -l); (true); while read -r line; do echo "$line"; done </proc/self/maps'
same_maps 'python' /usr/bin/python3 -S -c 'import mmap, ctypes
m = [mmap.mmap(-1, 4096 * (i + 1)) for i in range(20)]; del m[::3]
print(open("/proc/self/maps").read())'
same_maps 'python with threads' /usr/bin/python3 -S -c 'import threading
e = threading.Event(); ts = [threading.Thread(target=e.wait) for _ in range(6)]
for t in ts: t.start()
print(open("/proc/self/maps").read()); e.set()'
same_maps 'awk' awk '{ print }' /proc/self/maps
same_maps 'many descriptors' sh -c 'exec 5</proc/self/maps 6</dev/null; cat <&5'
# The program's own numbers about itself: what doesn't depend on when it is asked.
same 'auxv: what it says, and where nothing moves' 'LD_SHOW_AUXV=1 setarch -R /bin/true | grep -v "AT_SYSINFO_EHDR\|AT_RANDOM\|AT_HWCAP\|AT_BASE\|AT_ENTRY\|AT_PHDR\|AT_EXECFN\|AT_PLATFORM\|AT_MINSIGSTKSZ\|AT_RSEQ\|AT_??"'
same 'smaps: its fields and their order' 'sed -n "/^[A-Z]/s/:.*//p" /proc/self/smaps | sort | uniq -c | awk "{ print \$2 }"; head -n 1 /proc/self/smaps | wc -w'
same 'status: its fields' 'sed -n "/^Vm/s/:.*kB/ kB/p" /proc/self/status; grep -c . /proc/self/statm; wc -w < /proc/self/statm; wc -w < /proc/self/stat'
same 'cmdline, exe, fd, task' 'tr "\0" " " </proc/self/cmdline; readlink /proc/self/exe; exec 7</dev/null; readlink /proc/self/fd/7; ls /proc/self/task | wc -l; cat /proc/self/comm; ls /proc/$$/fd'
finish
