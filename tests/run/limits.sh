# Limits and what they lead to.
ulimit -a
(ulimit -v 100000; python3 -c 'x = bytearray(10**9)' 2>&1 | tail -n 1)
(ulimit -t 1; while :; do :; done) 2>/dev/null; echo $?
(ulimit -s 256; bash -c 'f() { f; }; f' 2>/dev/null); echo $?
(ulimit -n 10; exec 20</dev/null) 2>/dev/null; echo $?
