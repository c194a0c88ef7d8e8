# The address space of a program is what the host's kernel makes of it: both without randomization.
export LC_ALL=C
cat /proc/self/maps
ldd /bin/cat
