#!/usr/bin/env bash
# git inside as natively, down to the objects' names and the bytes of its packs (H2).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
export GIT_AUTHOR_DATE="2020-01-01T00:00:00Z" GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"
same 'init, add, commit, log, merge, gc' 'git init -q -b main r && cd r
	for i in 1 2 3; do seq $((i * 100)) > f$i; git add .; git commit -qm "commit $i"; done; git log --oneline; git diff HEAD~1 --stat
	git gc -q; git fsck 2>&1; git status --short; git checkout -q -b b HEAD~1; echo x >> f1; git commit -qam b; git merge -q main -m merge; git log --oneline | wc -l; ls .git/objects/pack | wc -l'
same 'two hundred files, packed by threads' 'git init -q -b main r && cd r
	for ((i = 0; i < 200; i++)); do mkdir -p d$((i % 7)); seq $i $((i * 3)) > d$((i % 7))/f$i; done
	git add . && git commit -qm all && git -c pack.threads=4 repack -adq && git verify-pack .git/objects/pack/*.idx && git count-objects -v | grep -v size; git rev-list --objects --all | cksum
	git rm -q -r d3; git mv d4 d5; git commit -qm moved; git show --stat --summary | tail -n 40; git cat-file -p HEAD^{tree}; git blame -s d1/f1 | head -n 3'
same 'clone, fetch, rebase, stash, worktree, bisect' 'git init -q -b main r && cd r
	for i in 1 2 3 4 5 6; do echo $i >> f; git add f; git commit -qm "c$i"; done; cd ..
	git clone -q r s 2>&1; cd s; git checkout -q -b topic HEAD~2; echo t > t; git add t; git commit -qm topic; git rebase -q main 2>&1; git log --format="%h %s"
	echo dirty >> f; git stash -q; git status --short; git stash pop -q; git diff | tail -n 1; git checkout -q f
	git worktree add -q ../w 2>/dev/null; ls ../w; git bisect start -q main main~5 2>&1 | tail -n 1; git bisect run sh -c "! grep -q 4 f" 2>/dev/null | grep -c "first bad"; git grep -n 5'
finish
