#!/usr/bin/env bash
# Issue: shells and small tools, inside as natively (C4, H2).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
same 'echo' 'echo hello, world; exit 3'
same 'static busybox' 'busybox sh -c "echo busy; busybox seq 5 | busybox tac; exit 4"'
same 'pipelines' 'seq 100000 | sort -rn | head -3 | tac; seq 1 20 | paste -sd+ | cut -c1-20; echo a b c | tr " " "\n" | wc -l'
same 'functions, subshells, arrays' 'f() { local x=$1; ((x > 0)) && { f $((x - 1)); echo $x; }; }; f 5; (a=1; (a=2; echo $a); echo $a)
	declare -A m=([x]=1 [y]=2); for k in x y; do echo $k=${m[$k]}; done; echo ${PIPESTATUS[@]}'
same 'coproc, traps, here-documents' 'coproc cat; echo to the coprocess >&${COPROC[1]}; read -r line <&${COPROC[0]}; echo "$line"
	exec {COPROC[1]}>&-; trap "echo usr1" USR1; kill -USR1 $$; trap "echo bye" EXIT; cat <<-END
	here $((6 * 7))
	END
	wait; cat <<<"a string"'
same '300 forks' 'for ((i = 0; i < 300; i++)); do (exit $((i % 7))); s=$((s + $?)); done; echo $s'
same 'command substitution and pipes to processes' 'x=$(echo $(echo $(echo deep))); echo $x; diff <(seq 5) <(seq 6); while read -r a; do echo "<$a>"; done < <(printf "1\n2\n")'
same 'files' 'mkdir -p d/e; echo x > d/e/f; ln -s f d/e/l; ln d/e/f d/e/h; cat d/e/l; stat -c "%s %h %F" d/e/f; find d | sort; mv d/e/f d/g; rm -r d/e; ls d; cat nothing; cp d/g k && cmp k d/g; chmod 600 k; stat -c %a k; touch -d @1000000000 k; stat -c %Y k'
same 'signals and exit statuses' 'bash -c "kill -TERM \$\$"; echo $?; bash -c "exit 300"; echo $?; (sleep 5 & wait $! ) & p=$!; kill $p; wait $p; echo $?; false || true && echo yes'
same 'a program that dies by a signal' 'kill -SEGV $$'
same 'background jobs' 'for i in 1 2 3 4; do (sleep 0.0$i; echo $i > out$i) & done; wait; cat out1 out2 out3 out4; jobs'
same 'awk' "awk 'BEGIN { for (i = 0; i < 100000; i++) s += i % 7; print s; printf \"%.6f %s\\n\", exp(1), substr(\"abcdef\", 2, 3); \"echo sub\" | getline x; print x }'"
same 'perl with fork and pipes' 'perl -e "
	pipe(R, W); my \$p = fork; if (!\$p) { close R; print W qq(line \$_\n) for 1..1000; exit 5 }
	close W; my @l = <R>; waitpid(\$p, 0); print scalar(@l), qq( ), \$? >> 8, qq(\n);
	my %h = map { \$_ => \$_ * 2 } 1..5000; my \$s = 0; \$s += \$h{\$_} for keys %h; print qq(\$s\n); print join(q(,), sort { \$a <=> \$b } map { \$_ % 13 } 1..20), qq(\n)"'
same 'time and dates' 'date -u -d @86400; TZ=UTC printf "%(%F)T\n" 0; sleep 0.05; echo slept; timeout 0.1 sleep 5; echo $?'
same 'xargs, sed, grep, tee' 'seq 30 | xargs -n7 echo | sed "s/ /-/g" | grep -n 8 | tee f; wc f; seq 9 | xargs -P3 -I{} sh -c "exit 0"; echo $?'
finish
