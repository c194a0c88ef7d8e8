#!/usr/bin/env bash
# SQLite inside as natively: 100,000 rows, write-ahead log in shared memory, several processes (H2).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
count() { # rows up to $1
	echo "with recursive c(x) as (select 1 union all select x + 1 from c where x < $1)"
}
same '100,000 rows, an index, WAL' "sqlite3 t.db \"pragma journal_mode=wal; create table t(a, b); $(count 100000) insert into t select x, x * 7 % 1000 from c; create index i on t(b); select count(*), sum(a) from t where b < 500; select b, count(*) from t group by b order by b desc limit 3; pragma integrity_check\"; ls; cksum < t.db"
same 'several processes' 'sqlite3 t.db "pragma journal_mode=wal; create table t(a)"; for i in 1 2 3 4; do sqlite3 -cmd ".timeout 60000" t.db "insert into t values($i)" & done; wait; sqlite3 t.db "select count(*), sum(a) from t"
	sqlite3 u.db "create table t(a)"; for i in 1 2 3; do sqlite3 -cmd ".timeout 60000" u.db "begin immediate; insert into t values($i); commit" & done; wait; sqlite3 u.db "select count(*), sum(a) from t"'
same 'a reader beside a writer' 'sqlite3 t.db "pragma journal_mode=wal; create table t(a); insert into t values(1)"
	for i in 1 2 3; do echo "begin immediate; insert into t select a + 1 from t; commit;"; sleep 0.05; done | sqlite3 -cmd ".timeout 60000" t.db &
	for i in 1 2 3 4; do sqlite3 -cmd ".timeout 60000" t.db "select count(*) in (1, 2, 4, 8) from t"; done; wait; sqlite3 t.db "select a, count(*) from t group by a; pragma wal_checkpoint(truncate)"; ls'
same 'a memory-mapped database' "sqlite3 t.db \"pragma mmap_size=10000000; create table t(a); $(count 5000) insert into t select x from c; select sum(a) from t; delete from t where a % 3 = 0; vacuum; select sum(a), count(*) from t\"; cksum < t.db"
same 'rolled back, killed, recovered' "sqlite3 t.db 'create table t(a)'; { (echo 'begin;'; echo \"$(count 3000) insert into t select x from c;\"; sleep 0.3; echo '.system kill -9 \$PPID'; sleep 0.1) | sqlite3 t.db; } 2>/dev/null; echo \${PIPESTATUS[1]}
	sqlite3 t.db 'begin; insert into t values(1); rollback; insert into t values(2); select * from t; pragma integrity_check'"
mkdir -p "$work/both" && cd "$work/both" || exit 2
"$aspace" run -- sqlite3 t.db "pragma journal_mode=wal; create table t(a); $(count 2000) insert into t select x from c" >/dev/null
check 'what was written inside is a database outside' [ "$(sqlite3 t.db 'select sum(a) from t; pragma integrity_check' | tr '\n' ' ')" = '2001000 ok ' ]
sqlite3 t.db 'update t set a = a + 1'
check 'what was written outside is seen inside' [ "$("$aspace" run -- sqlite3 t.db 'select sum(a) from t')" = 2003000 ]
finish
