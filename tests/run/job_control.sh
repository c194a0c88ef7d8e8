# Stop and continue, background jobs, process groups.
set -m
sleep 0.1 & fg >/dev/null; echo "fg $?"
sleep 5 & kill -STOP %1; sleep 0.05; jobs; kill -CONT %1; kill %1; wait %1; echo "ended $?"
(sleep 5; echo never) & kill -TERM -- -$!; wait $!; echo "group $?"
timeout 0.1 sleep 5; echo "timeout $?"
