#!/usr/bin/env bash
# Archives, compressors with threads, and digests inside as natively (H2).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
same 'tar' 'mkdir -p d/e; seq 60000 > d/f; ln -s f d/l; ln d/f d/h; chmod 600 d/e; touch -d @1000000000 d/f d/e d; tar --sort=name --owner=0 --group=0 --numeric-owner -cf a.tar d; tar tvf a.tar | sed "s/l -> f/l/;/^l/d"
	mkdir x; tar xf a.tar -C x; diff -r d x/d && stat -c "%n %a %Y %h" x/d/f x/d/e; tar czf b.tgz d/f; tar xzOf b.tgz d/f | cksum; tar cf - d | tar tf - | sort; truncate -s 1G sparse; tar cSf s.tar sparse; stat -c %s s.tar; cat nothing | tar tf -'
same 'gzip' 'seq 60000 > f; gzip -9nk f; cksum f.gz; gzip -dc f.gz | cmp - f; gzip -1nc < f | cksum; zcat f.gz | tail -n 1; head -c 1000 f.gz | gzip -dc | cksum'
same 'xz -T4' 'seq 200000 > f; xz -T4 -k -1 f; cksum f.xz; xz -t f.xz; xz -T4 -dc f.xz | cmp - f; xz -T4 --block-size=200000 -1c f | cksum; xz -l f.xz | tail -n 1'
same 'zstd' 'seq 200000 > f; zstd -q -T2 f -o f.zst; cksum f.zst; zstd -dc f.zst | cmp - f; zstd -q -12 --single-thread -c < f | cksum; zstd -t f.zst 2>/dev/null; echo $?'
same 'digests' 'head -c 300000 /usr/bin/bash > f; openssl dgst -sha256 f; openssl dgst -sha512 < f; openssl dgst -md5 f; openssl dgst -sha3-256 f; openssl dgst -blake2b512 f; sha1sum f; md5sum f; b2sum f; cksum f'
same 'ciphers and keys' 'head -c 300000 /usr/bin/bash > f; openssl enc -aes-256-cbc -K 0011 -iv 22 -in f -out g 2>/dev/null; openssl dgst -sha1 g; openssl enc -d -aes-256-cbc -K 0011 -iv 22 -in g 2>/dev/null | cmp - f
	openssl enc -chacha20 -K 0011 -iv 22 -in f 2>/dev/null | cksum; openssl ecparam -genkey -name prime256v1 -noout -out k 2>&1; openssl dgst -sha256 -sign k -out s f; openssl ec -in k -pubout -out p 2>/dev/null; openssl dgst -sha256 -verify p -signature s f'
finish
