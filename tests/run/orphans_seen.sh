# From outside: a nested shell ends at once although its child sleeps.
start=$(date +%s%N)
sh -c 'sleep 3 >/dev/null 2>&1 & echo started'
[ $(($(date +%s%N) - start)) -lt 2500000000 ] && echo soon
