#!/usr/bin/env bash
# What can't be run is refused in one clear line, with the shell's exit statuses.
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
cd "$work" || exit 2
echo 'not a program' > text; cp text plain; chmod +x text
cp /bin/true truncated; truncate -s 100 truncated
cp /bin/true arch; printf '\xb7' | dd of=arch bs=1 seek=18 conv=notrunc status=none
cp /bin/true big; printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=big bs=1 seek=32 conv=notrunc status=none
printf '#!/no/such/interpreter\n' > script; chmod +x script
mkdir dir
refused 'no such file' 127 'No such file' run -- ./nothing
refused 'no such command in PATH' 127 'nothing-of-this-name' run -- nothing-of-this-name
refused 'not executable' 126 'Permission denied' run -- ./plain
refused 'a directory' 126 './dir' run -- ./dir
refused 'no format' 126 'not an x86-64 program' run -- ./text
refused 'truncated ELF' 126 './truncated' run -- ./truncated
refused 'another architecture' 126 'not an x86-64 program' run -- ./arch
refused 'program headers beyond the file' 126 './big' run -- ./big
refused 'missing interpreter' 127 './script' run -- ./script
refused 'unreadable memory size' 2 '12potatoes' run --ram 12potatoes -- /bin/true
refused 'too little RAM' 2 'too little' run --ram 64K -- /bin/true
refused 'unknown verb' 2 'fly' fly
"$aspace" run >"$work/out" 2>"$work/err"; check 'no program is bad usage' [ $? = 2 ]
"$aspace" --help >"$work/out"; check 'help' [ $? = 0 ]
"$aspace" run -- sh -c 'echo x; echo y' >&- 2>"$work/err"; check 'closed standard output is the guest'\''s error' grep -q 'error' "$work/err"
("$aspace" run -- sh -c 'kill -TERM $$') 2>"$work/err"; check 'death by SIGTERM is 128 + 15' [ $? = 143 ]
# Hostile headers: what the host refuses or what dies on it does so inside, by the same status; we never break.
cat >hostile.py <<'END'
import ctypes, errno, os, random, subprocess, sys
aspace, rounds = sys.argv[1], int(sys.argv[2])
good = {name: open(name, "rb").read() for name in ("static", "dynamic")}
random.seed(20)
differ = ran = refused = 0
def status(command):
    r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return r.returncode, r.stdout, r.stderr
def native():
    """The host's answer, by the statuses of a shell, and what was printed."""
    try:
        code, out, _ = status(["./hostile"])
    except subprocess.TimeoutExpired:
        return None
    except OSError as e:
        return (127 if e.errno == errno.ENOENT else 126), b""
    return (128 - code if code < 0 else code), out
ctypes.CDLL(None).personality(0x0040000)  # no randomization, as inside
for n in range(rounds):
    name = random.choice(sorted(good))
    image = bytearray(good[name])
    phoff, phnum = 64, image[56]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.choice((random.randrange(16, 64), phoff + random.randrange(56 * phnum)))
        image[at] = random.choice((0, 1, 0x7f, 0x80, 0xff, random.randrange(256), image[at] ^ 1 << random.randrange(8)))
    if random.random() < .1:
        del image[random.randrange(len(image)):]
    if os.path.exists("hostile"): os.unlink("hostile")
    with open("hostile", "wb") as f: f.write(image)
    os.chmod("hostile", 0o755)
    want = native()
    if want is None:
        continue
    code, out, err = status([aspace, "run", "--ram", "256M", "--", "./hostile"])
    code = 128 - code if code < 0 else code  # we die by what the guest died of
    if code == 125 or b"Sanitizer" in err:
        print("broke", n, name, code, err[:300]); sys.exit(1)
    ran += code == 0
    refused += code == 126
    if (code, out) != want:
        differ += 1
        os.link("hostile", "differs-%d" % n)
        print("round %d, %s: native %s, inside %s %s" % (n, name, want, (code, out), err[:100]))
print(f"{rounds} files: {ran} ran, {refused} refused, {differ} differ")
sys.exit(differ != 0 or not ran or not refused)
END
printf '#include <unistd.h>\nint main(void)\n{\n\treturn write(1, "alive\\n", 6) != 6;\n}\n' >alive.c
${CC:-cc} -O1 -static -o static alive.c && ${CC:-cc} -O1 -o dynamic alive.c || exit 1
check 'hostile ELF headers' python3 hostile.py "$aspace" ${HOSTILE_ROUNDS:-120}
finish
