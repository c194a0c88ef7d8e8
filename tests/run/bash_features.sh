# Functions, subshells, traps, here-documents, a coprocess, pipelines, 300 forks.
trap 'echo "exit trap, status $?"' EXIT
trap 'echo usr1' USR1
f() { local x=$1; (x=inner; echo "$x"); echo "$x"; return 3; }
f outer; echo "returned $?"
kill -USR1 $$
cat <<X
here $((6 * 7)) $(echo substituted)
X
coproc cat
echo through the coprocess >&"${COPROC[1]}"
read -r line <&"${COPROC[0]}"; echo "$line"
eval "exec ${COPROC[1]}>&-"; wait
i=0; while [ $i -lt 300 ]; do (exit $((i % 7))) && n=$((n + 1)); i=$((i + 1)); done; echo "$n of $i"
seq 2000 | sort -rn | grep 7 | head -n 5 | tac
sleep 0.05 & wait $!; echo "waited $?"
(kill -TERM $BASHPID); echo "killed $?"
(kill -SEGV $BASHPID) 2>/dev/null; echo "segv $?"
diff <(echo a) <(echo b); echo "process substitution $?"
exit 9
