# What can't be run is refused with the host's errno, and what breaks on loading dies as it does there.
cp /bin/true t; chmod +x t
try() { ./"$1" 2>&1 | sed 's/line [0-9]*: *[0-9]* /line: /'; echo "$1: ${PIPESTATUS[0]}"; }
head -c 100 t >short; chmod +x short; try short
head -c 40 t >shorter; chmod +x shorter; try shorter
printf '#!/nonexistent/interpreter\n' >script; chmod +x script; try script
printf '#!' >empty_line; chmod +x empty_line; try empty_line
cp t plain; chmod -x plain; try plain
mkdir dir; try dir
try missing
patch() { cp t "$1"; printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; try "$1"; }
patch machine 18 '\267\000'		# aarch64
patch type 16 '\001\000'		# relocatable
patch phentsize 54 '\040\000'
patch phnum 56 '\000\000'
patch phoff 32 '\377\377\377\177'
patch entry 24 '\000\000\000\000\000\000\377\177'
printf '#!/bin/sh -e\necho "script: $0 $1"; false; echo not reached' >ok; chmod +x ok; ./ok arg; echo $?
printf '#!./ok2\n' >loop1; printf '#!./loop1\n' >ok2; chmod +x loop1 ok2; try loop1
cp /bin/sh sh; printf '#!./sh\necho by a relative interpreter' >rel; chmod +x rel; ./rel
