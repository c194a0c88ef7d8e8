# aspace: one non-recursive Makefile.
#   make              build/aspace, build/libaspace.a, build/libaspace.so
#   make run          install what is missing, build, run a real program and show its address space
#   make test         everything that CI runs;  make quick: the unit tests alone
#   make bench        native, qemu-user and aspace in one run
#   make install      PREFIX=/usr/local DESTDIR=
#   make floors       the architecture's rules, checked
#   SAN=asan|ubsan|tsan builds in a directory of its own
VERSION := 0.1.0
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
O       ?= build

SAN ?=
ifneq ($(SAN),)
O := $(O)-$(SAN)
endif
SANFLAGS_asan  := -fsanitize=address -fno-omit-frame-pointer
SANFLAGS_ubsan := -fsanitize=undefined -fno-sanitize-recover=undefined
SANFLAGS_tsan  := -fsanitize=thread
SANFLAGS       := $(SANFLAGS_$(SAN))

CC      ?= cc
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wno-unused-parameter -Wmissing-prototypes -Wstrict-prototypes
CPPFLAGS += -Iinclude -Ilib -I. -D_GNU_SOURCE -DASPACE_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(SANFLAGS) -fPIC -fvisibility=hidden -pthread
LDLIBS_LIB := -pthread

# The CPU engine is the command's: the library depends on nothing but the C library.
CPU_SRCS  := $(wildcard lib/hw/cpu_*.c)
LIB_SRCS  := $(filter-out $(CPU_SRCS),$(wildcard lib/base/*.c lib/arch/*.c lib/mm/*.c lib/hw/*.c))
CMD_SRCS  := $(wildcard kernel/*.c kernel/*/*.c tools/*.c) $(CPU_SRCS)
TEST_SRCS := $(wildcard tests/test_*.c)
TESTLIB_SRCS := $(wildcard tests/lib/*.c)
BENCH_SRCS := $(wildcard bench/bench_*.c)
FUZZ_SRCS := $(wildcard fuzz/fuzz_*.c)

LIB_OBJS  := $(LIB_SRCS:%.c=$(O)/%.o)
CMD_OBJS  := $(CMD_SRCS:%.c=$(O)/%.o)
TESTLIB_OBJS := $(TESTLIB_SRCS:%.c=$(O)/%.o)
CPU_OBJS  := $(CPU_SRCS:%.c=$(O)/%.o)
TESTS     := $(TEST_SRCS:tests/%.c=$(O)/tests/%)
REPLAYS   := $(FUZZ_SRCS:fuzz/fuzz_%.c=$(O)/fuzz/replay_%)
BENCHES   := $(BENCH_SRCS:bench/%.c=$(O)/bench/%)
GUESTS    := $(patsubst tests/guest/%.c,$(O)/guest/%,$(wildcard tests/guest/*.c))

# libdw names functions for `aspace trace --stack`; without it that option is refused.
LIBDW := $(shell pkg-config --exists libdw 2>/dev/null && echo -ldw)
CPPFLAGS += $(if $(LIBDW),-DHAVE_LIBDW)
UNICORN_LIBS = $(shell pkg-config --libs unicorn 2>/dev/null || echo -lunicorn)
HAVE_CMD := $(if $(wildcard tools/*.c),$(O)/aspace)

ifeq ($(V),)
Q := @
say = @printf '  %-5s %s\n' $(1) $(2)
endif

all: $(O)/libaspace.a $(O)/libaspace.so $(HAVE_CMD)

$(O)/%.o: %.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/libaspace.a: $(LIB_OBJS)
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/libaspace.so: $(LIB_OBJS) lib/libaspace.map
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,libaspace.so.0 -Wl,--version-script=lib/libaspace.map \
		-o $@ $(LIB_OBJS) $(LDLIBS_LIB)

# -rdynamic: the engine interposes a hook of Unicorn's, see lib/hw/cpu_unicorn.c
$(O)/aspace: $(CMD_OBJS) $(O)/libaspace.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -rdynamic -o $@ $(CMD_OBJS) $(O)/libaspace.a $(UNICORN_LIBS) $(LIBDW) -ldl -lm $(LDLIBS_LIB)

# A test links the static library, so that it can look inside; tests/test_cpu*.c also link the engine.
$(filter $(O)/tests/test_cpu%,$(TESTS)): $(O)/tests/%: $(O)/tests/%.o $(TESTLIB_OBJS) $(CPU_OBJS) $(O)/libaspace.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -rdynamic -o $@ $^ -lcmocka $(UNICORN_LIBS) -ldl -lm $(LDLIBS_LIB)

$(O)/tests/test_%: $(O)/tests/test_%.o $(TESTLIB_OBJS) $(O)/libaspace.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ -lcmocka -lm $(LDLIBS_LIB)

$(O)/bench/bench_%: $(O)/bench/bench_%.o $(O)/libaspace.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ -lm $(LDLIBS_LIB)

# Every object, linked or not: what a tree in the middle of a change can be held to.
objs: $(LIB_OBJS) $(CMD_OBJS)

# The main job on a real program, from nothing.
run: deps
	$(Q)$(MAKE) --no-print-directory all
	$(O)/aspace run --maps --stats -- bash -c 'echo "$$(uname -m): bash $$BASH_VERSION in an address space of ours"; seq 1000 | sort -rn | head -n 1'

test: deps
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)O=$(O) tests/all

# The guest's side of the benchmarks: static, so that it starts alike everywhere.
$(O)/bench/guest-%: bench/guest/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -Wall -static -o $@ $<

# The tests' guests, each in both kinds. They hand wrong pointers to the C library on purpose.
GUEST_CC = $(CC) -O1 -g -std=gnu11 -D_GNU_SOURCE $(WARN) -Wno-unused-result -Wno-nonnull -Wno-missing-prototypes \
	$(if $(findstring clang,$(CC)),,-Wno-stringop-overread) -pthread
$(O)/guest/%-static: tests/guest/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) -static -o $@ $<

$(O)/guest/%-dynamic: tests/guest/%.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) -o $@ $<

guests: $(GUESTS:%=%-static) $(GUESTS:%=%-dynamic)

bench: deps
	$(Q)$(MAKE) --no-print-directory all benches $(O)/bench/guest-mm
	$(Q)for b in $(BENCHES); do echo; $$b || exit 1; done
	$(Q)bench/run.py --build $(O)

# Fuzz targets: replayed everywhere (tests/fuzz_replay.sh); `make fuzz SECONDS=60` searches, with clang's libFuzzer.
$(O)/fuzz/replay_proc: $(O)/tools/proc_maps.o
$(O)/fuzz/replay_elf: $(O)/kernel/binfmt_elf.o
$(O)/fuzz/replay_%: $(O)/fuzz/fuzz_%.o $(O)/fuzz/replay.o $(O)/libaspace.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lm $(LDLIBS_LIB)

SECONDS ?= 60
fuzz:
	$(Q)scripts/fuzz $(SECONDS)

# ---- installing -------------------------------------------------------------------------------
DESTDIR    ?=
BINDIR     ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
HEADERS    := $(wildcard include/aspace/*.h)

$(O)/aspace.pc: aspace.pc.in Makefile
	@mkdir -p $(@D)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' $< > $@

install: all
	$(Q)rm -f $(O)/aspace.pc && $(MAKE) --no-print-directory $(O)/aspace.pc
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/aspace \
		$(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man3
	install -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/aspace
	install -m 644 $(O)/libaspace.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(O)/libaspace.so $(DESTDIR)$(LIBDIR)/libaspace.so.$(VERSION)
	ln -sf libaspace.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libaspace.so.0
	ln -sf libaspace.so.0 $(DESTDIR)$(LIBDIR)/libaspace.so
	install -m 644 $(O)/aspace.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 755 $(O)/aspace $(DESTDIR)$(BINDIR)
	install -m 644 man/aspace.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 man/libaspace.3 $(DESTDIR)$(MANDIR)/man3

uninstall:
	rm -f $(HEADERS:include/%=$(DESTDIR)$(INCLUDEDIR)/%) $(DESTDIR)$(LIBDIR)/libaspace.a \
		$(DESTDIR)$(LIBDIR)/libaspace.so* $(DESTDIR)$(LIBDIR)/pkgconfig/aspace.pc $(DESTDIR)$(BINDIR)/aspace \
		$(DESTDIR)$(MANDIR)/man1/aspace.1 $(DESTDIR)$(MANDIR)/man3/libaspace.3

floors: all
	$(Q)scripts/floors $(O)

tests: $(TESTS) $(REPLAYS) guests
benches: $(BENCHES)

deps:
	$(Q)scripts/deps

quick: $(TESTS)
	$(Q)for t in $(TESTS); do $$t >$(O)/quick.log 2>&1 || { cat $(O)/quick.log; echo "FAIL $$t"; exit 1; }; done

clean:
	rm -rf build build-asan build-ubsan build-tsan

.PHONY: all objs guests run bench fuzz install uninstall floors test tests benches deps quick clean
.SECONDARY:
-include $(LIB_OBJS:.o=.d) $(CMD_OBJS:.o=.d) $(TESTLIB_OBJS:.o=.d)
-include $(TEST_SRCS:%.c=$(O)/%.d) $(BENCH_SRCS:%.c=$(O)/%.d)
