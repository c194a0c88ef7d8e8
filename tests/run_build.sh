#!/usr/bin/env bash
# Compilers, make, git, databases and archives inside as natively (H2).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
same 'gcc under make -j4' 'for i in 1 2 3 4 5; do printf "int f%d(int x)\n{\n\treturn x * %d;\n}\n" $i $i > f$i.c; done
	printf "#include <stdio.h>\nint f1(int), f2(int), f3(int), f4(int), f5(int);\nint main(void)\n{\n\tprintf(\"%%d\\\\n\", f1(1) + f2(2) + f3(3) + f4(4) + f5(5));\n\treturn 7;\n}\n" > main.c
	printf "prog: f1.o f2.o f3.o f4.o f5.o main.o\n\t@gcc -o \$@ \$^\n%%.o: %%.c\n\t@gcc -O2 -Wall -c -o \$@ \$<\n" > Makefile
	make -j4 && ./prog; echo $?; make; gcc -c missing.c'
same 'g++' 'printf "#include <iostream>\n#include <map>\n#include <stdexcept>\nint main()\n{\n\tstd::map<int, int> m;\n\tfor (int i = 0; i < 1000; i++)\n\t\tm[i * 7 %% 101] += i;\n\ttry { throw std::runtime_error(\"caught\"); } catch (std::exception &e) { std::cout << e.what() << m[5] << std::endl; }\n}\n" > a.cc; g++ -O1 a.cc -o a && ./a'
same 'git' 'git init -q -b main r && cd r && git config user.email a@example.com && git config user.name a
	export GIT_AUTHOR_DATE="2020-01-01T00:00:00Z" GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"
	for i in 1 2 3; do seq $((i * 100)) > f$i; git add .; git commit -qm "commit $i"; done; git log --oneline; git diff HEAD~1 --stat
	git gc -q; git fsck 2>&1; git status --short; git checkout -q -b b HEAD~1; echo x >> f1; git commit -qam b; git merge -q main -m merge; git log --oneline | wc -l; ls .git/objects/pack | wc -l'
same 'sqlite3: rows, index, WAL' 'sqlite3 t.db "pragma journal_mode=wal; create table t(a, b); with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000) insert into t select x, x * 7 % 1000 from c; create index i on t(b); select count(*), sum(a) from t where b < 500; pragma integrity_check"'
same 'sqlite3: several processes' 'sqlite3 t.db "pragma journal_mode=wal; create table t(a)"; for i in 1 2 3 4; do sqlite3 -cmd ".timeout 60000" t.db "insert into t values($i)" & done; wait; sqlite3 t.db "select count(*), sum(a) from t"
	sqlite3 u.db "create table t(a)"; for i in 1 2 3; do sqlite3 -cmd ".timeout 60000" u.db "begin immediate; insert into t values($i); commit" & done; wait; sqlite3 u.db "select count(*), sum(a) from t"'
same 'sqlite3 with a memory-mapped file' 'sqlite3 t.db "pragma mmap_size=10000000; create table t(a); with recursive c(x) as (select 1 union all select x + 1 from c where x < 5000) insert into t select x from c; select sum(a) from t; delete from t where a % 3 = 0; vacuum; select sum(a), count(*) from t"'
same 'archives' 'seq 60000 > f; tar cf a.tar f; tar tf a.tar; gzip -9 -k f; gzip -dc f.gz | cmp - f; xz -T4 -k -1 f; xz -t f.xz; xz -dc f.xz | cmp - f; zstd -q -T2 f -o f.zst; zstd -dc f.zst | cmp - f; tar czf b.tgz f; tar xzOf b.tgz f | cksum'
same 'openssl digests' 'head -c 300000 /usr/bin/bash > f; openssl dgst -sha256 f; openssl dgst -sha512 -md5 < f; openssl enc -aes-256-cbc -K 00 -iv 00 -in f 2>/dev/null | openssl dgst -sha1; sha1sum f; md5sum f; b2sum f'
finish
