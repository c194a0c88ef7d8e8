# needs: expect tmux script
# Programs that make terminals for others.
export HOME=$PWD TERM=xterm PS1=
expect -c 'log_user 0; spawn cat; send "abc\n"; expect "abc*abc"; send \003; expect eof; puts "cat: [lrange [wait] 2 end]"'
expect -c 'log_user 0; spawn sh -c {trap "echo resized" WINCH; echo go; while :; do sleep 0.1; done}
expect go; stty rows 30 < $spawn_out(slave,name); expect resized; send \034; expect eof; puts "sh: [lrange [wait] 2 end]"'
script -qec 'tty >/dev/null && echo a terminal; exit 3' /dev/null; echo $?
tmux -S s -f /dev/null new-session -d -x 80 -y 10 sh
tmux -S s send-keys 'PS1=; clear; sleep 1000' Enter
sleep 1
tmux -S s send-keys C-c
tmux -S s send-keys 'echo hello $((6 * 7))' Enter
for i in $(seq 50); do tmux -S s capture-pane -p | grep '^hello 42' && break; sleep 0.1; done
tmux -S s kill-server
echo $?
rm -f s
