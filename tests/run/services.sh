# needs: redis-server redis-cli socat
# Servers and their clients, over sockets in the file system.
redis-server --port 0 --unixsocket "$PWD/r.sock" --save "" >/dev/null &
server=$!
for i in $(seq 100); do redis-cli -s r.sock ping 2>/dev/null | grep PONG && break; sleep 0.1; done
redis-cli -s r.sock set a 1
redis-cli -s r.sock incr a
seq 300 | sed 's/.*/lpush l &/' | redis-cli -s r.sock | tail -1
redis-cli -s r.sock save
redis-cli -s r.sock shutdown nosave
wait $server
echo $?
rm -f dump.rdb

socat UNIX-LISTEN:s,fork SYSTEM:'tr a-z A-Z' &
server=$!
for i in $(seq 100); do [ -S s ] && break; sleep 0.1; done
echo hello | socat -t 5 - UNIX-CONNECT:s
echo through a terminal | socat -t 5 - EXEC:cat,pty,raw,echo=0
kill $server
wait $server
echo $?
rm -f s
