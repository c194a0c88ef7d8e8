#!/usr/bin/env bash
# What can't be run is refused in one clear line, with the shell's exit statuses.
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
cd "$work" || exit 2
echo 'not a program' > text; cp text plain; chmod +x text
cp /bin/true truncated; truncate -s 100 truncated
cp /bin/true arch; printf '\xb7' | dd of=arch bs=1 seek=18 conv=notrunc status=none
cp /bin/true big; printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=big bs=1 seek=32 conv=notrunc status=none
printf '#!/no/such/interpreter\n' > script; chmod +x script
mkdir dir
refused 'no such file' 127 'No such file' run -- ./nothing
refused 'no such command in PATH' 127 'nothing-of-this-name' run -- nothing-of-this-name
refused 'not executable' 126 'Permission denied' run -- ./plain
refused 'a directory' 126 './dir' run -- ./dir
refused 'no format' 126 'not an x86-64 program' run -- ./text
refused 'truncated ELF' 126 './truncated' run -- ./truncated
refused 'another architecture' 126 'not an x86-64 program' run -- ./arch
refused 'program headers beyond the file' 126 './big' run -- ./big
refused 'missing interpreter' 127 './script' run -- ./script
refused 'unreadable memory size' 2 '12potatoes' run --ram 12potatoes -- /bin/true
refused 'too little RAM' 2 'too little' run --ram 64K -- /bin/true
refused 'unknown verb' 2 'fly' fly
"$aspace" run >"$work/out" 2>"$work/err"; check 'no program is bad usage' [ $? = 2 ]
"$aspace" --help >"$work/out"; check 'help' [ $? = 0 ]
"$aspace" run -- sh -c 'echo x; echo y' >&- 2>"$work/err"; check 'closed standard output is the guest'\''s error' grep -q 'error' "$work/err"
("$aspace" run -- sh -c 'kill -TERM $$') 2>"$work/err"; check 'death by SIGTERM is 128 + 15' [ $? = 143 ]
finish
