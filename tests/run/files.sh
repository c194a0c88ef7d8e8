# Descriptors, pipes, FIFOs, devices and /proc as a shell sees them.
exec 5<>f
echo abc >&5
cat /proc/self/fd/5 && readlink /proc/self/fd/5 | sed 's|.*/||'
echo x | cat /dev/stdin
echo y | cat /dev/fd/0
diff <(echo 1) <(echo 2)
# Reads of a device are whole, however long they take.
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero bs=1M count=3 2>/dev/null | cksum; done
seq 100000 | tee >(md5sum >m1) | md5sum
sleep 0.1; cat m1
mkfifo p
(sleep 0.1; echo through >p) & cat p; wait
(cat p >o) & echo back >p; wait; cat o
timeout 0.2 cat p; echo "no writer: $?"
timeout 0.2 sh -c 'echo >p'; echo "no reader: $?"
exec 9>lock; flock 9
(flock -n lock echo free || echo busy)
(sleep 0.2; flock -u 9) & flock lock echo mine; wait
umask 077; mkdir d; touch d/a; ln d/a d/b; ln -s a d/c
stat -c '%n %a %h %F' d d/*
truncate -s 10000 d/a; dd if=d/a bs=4k 2>&1 >/dev/null | head -n 2
echo >/dev/full
ls nosuch; cat .; cat loop; ln -s loop loop; cat loop
head -n 3 /proc/self/limits; tr '\0' ' ' </proc/self/cmdline; readlink /proc/self/exe
[ "$(readlink /proc/$$/cwd)" = "$PWD" ] && ls /proc/$$/task | wc -l
bash -c 'cat <&7; ls /proc/self/fd' 7<f
