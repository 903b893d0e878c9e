# SPDX-License-Identifier: MIT
#
#   make              build/ondol and build/libondol.a
#   make run          a pipeline of this machine's own programs on Ondol's memory
#   make check        the fast tests: unit, model, faults, tidy, canaries
#   make test         all of them, also under the sanitizers, and the programs test
#   make asan|tsan    the core's tests under AddressSanitizer + UBSan, ThreadSanitizer
#   make proof        contracts, the drain protocol's model (frama-c, why3, cvc4, z3, spin)
#   make fuzz         libFuzzer on the ELF loader, LZ4, the lab's languages, the malloc, FUZZ_SECONDS=60 (clang)
#   make pictures     the lab's pictures in docs/ and its golden texts, anew
#   make bench        Ondol beside the host, in one run
#   make bench-phys   page frames: speed, huge pages won back, sizes, lazy policies
#   make bench-vma    regions, up to a million, beside the kernel and std::map
#   make bench-compact  blocks of 2 MiB that compaction brings back, and what it costs
#   make bench-thp    256 MiB touched with huge pages and without, natively too
#   make bench-slab   objects of the core beside mallocs of the host; memory that slabs hold
#   make bench-affinity  pages from another node, with and without affinity
#   make bench-parallel  two programs at once under one monitor, and under one each
#   make bench-malloc libondol-malloc beside glibc, mimalloc, jemalloc and tcmalloc; WRITE=1 renews
#                     the table of whole programs and its picture in docs/ (gnuplot)
#   make malloc-test  the malloc: a conformance suite, C++, programs with it preloaded
#   make conform      random memory calls natively and under ondol, STEPS=100000, SEED=1
#   make programs     unmodified programs natively and under ondol, T=substring
#   make vm-test      32-bit programs (or VM_RUN=command) on Debian's kernel in QEMU, T=substring
#   make soak         86,400 forks, 100 processes at once, 4 GiB touched: no growth, FORKS=86400
#   make ladder       42 programs from true to a browser: times, faults, memory, RUNG=substring
#
# T=substring runs only the tests whose name contains it; SEED=N repeats a random test.
CC      ?= cc
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla
B       := build

CORE_CFLAGS := -std=gnu11 -ffreestanding -fno-stack-protector $(WARN) -Iinclude -Icore
PORT_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -Iinclude
TEST_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -Iinclude -Icore -Itests

CORE_SRC := $(wildcard core/*.c core/*/*.c arch/*/*.c)
PORT_SRC := $(wildcard ports/linux/*.c tools/ondol/*.c tools/lab/*.c)
CORE_OBJ := $(CORE_SRC:%.c=$(B)/%.o)
PORT_OBJ := $(PORT_SRC:%.c=$(B)/%.o) $(B)/ports/linux/stub.o $(B)/ports/linux/stub_i386.o \
	$(B)/lab_files.o
# Scenarios and machines are in the program, so that they are there from any folder.
LAB_FILES := $(sort $(wildcard lab/*.lab lab/machines/*.machine))

# Without a dynamic linker's work `ondol run` starts half a millisecond sooner; where the libc
# has no static half, the dynamic one does.
STATIC := $(shell echo 'int main(void) { return 0; }' | \
	$(CC) -static -x c -o /dev/null - 2>/dev/null && echo -static)

all: $(B)/ondol $(B)/libondol-malloc.so $(B)/libondol-malloc.a

$(B)/libondol.a: $(CORE_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(B)/ondol: $(PORT_OBJ) $(B)/libondol.a
	$(CC) $(CFLAGS) $(STATIC) -o $@ $^ -pthread

$(B)/core/%.o: core/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CORE_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/arch/%.o: arch/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CORE_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/ports/%.o: ports/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PORT_CFLAGS) -Iports -MMD -MP -c -o $@ $<
$(B)/ports/%.o: ports/%.S ports/linux/stub_layout.h Makefile
	@mkdir -p $(@D)
	$(CC) -c -o $@ $<
$(B)/ports/linux/stub_i386.o: ports/linux/stub.S
$(B)/tools/%.o: tools/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PORT_CFLAGS) -Iports -Itools -MMD -MP -c -o $@ $<
$(B)/lab_files.c: $(LAB_FILES) tools/dev/embed.sh Makefile
	@mkdir -p $(@D)
	tools/dev/embed.sh $(LAB_FILES) >$@
$(B)/lab_files.o: $(B)/lab_files.c
	$(CC) $(CFLAGS) $(PORT_CFLAGS) -Itools -c -o $@ $<

# -static-libgcc: the unwinder of debug mode, without loading a library for it.
# The malloc: the core once more, as part of a shared object that shows malloc's names alone.
MALLOC_SRC := $(wildcard ports/malloc/*.c)
MALLOC_OBJ := $(MALLOC_SRC:%.c=$(B)/pic/%.o)
MALLOC_CORE_OBJ := $(CORE_SRC:%.c=$(B)/pic/%.o)
MALLOC_CFLAGS := $(PORT_CFLAGS) -fPIC -fvisibility=hidden -fno-builtin -fexceptions \
	-ftls-model=initial-exec
$(B)/pic/core/%.o: core/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CORE_CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<
$(B)/pic/arch/%.o: arch/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CORE_CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<
$(B)/pic/ports/%.o: ports/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(MALLOC_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/libondol-malloc.so: $(MALLOC_OBJ) $(MALLOC_CORE_OBJ)
	$(CC) $(CFLAGS) -shared -Wl,-soname,libondol-malloc.so -Wl,-z,now -o $@ $^ -pthread \
		-static-libgcc -Wl,--exclude-libs,ALL
# One object, whose own names nobody outside can see or collide with.
$(B)/libondol-malloc.a: $(MALLOC_OBJ) $(MALLOC_CORE_OBJ)
	@rm -f $@
	$(LD) -r -o $(B)/pic/libondol-malloc.o $^
	objcopy --localize-hidden $(B)/pic/libondol-malloc.o
	ar rcs $@ $(B)/pic/libondol-malloc.o

# And as part of a test, under names of its own: see tests/malloc/ops.h.
EMBED_SRC := $(filter-out ports/malloc/new.c ports/malloc/names.c,$(MALLOC_SRC))
EMBED_NAMES := malloc calloc realloc free memalign aligned_alloc posix_memalign valloc pvalloc \
	reallocarray malloc_usable_size malloc_trim mallopt mallinfo mallinfo2 malloc_info malloc_stats cfree
EMBED_OBJ := $(EMBED_SRC:%.c=$(B)/embed/%.o)
$(B)/embed/ports/%.o: ports/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PORT_CFLAGS) -fno-builtin -fexceptions \
		$(foreach n,$(EMBED_NAMES),-D$n=om_$n) -Dmmap=test_mmap -MMD -MP -c -o $@ $<
EMBED_TESTS := fuzz stress
$(EMBED_TESTS:%=$(B)/tests/malloc/%): $(B)/tests/malloc/%: tests/malloc/%.c tests/malloc/ops.h \
		$(EMBED_OBJ) $(B)/libondol.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PORT_CFLAGS) -DFUZZ_SMOKE -o $@ $< $(EMBED_OBJ) $(B)/libondol.a -pthread
malloc-stress-build:
	@$(MAKE) --no-print-directory B=build/tsan CFLAGS='$(TSAN_FLAGS)' \
		build/tsan/tests/malloc/stress

core-objects: $(CORE_OBJ)

# The main job on programs that every machine has.
RUN ?= ls -l /usr/bin | sort -rn -k5 | head -5
run: all
	@echo '$$ ondol run --stats -- /bin/sh -c "$(RUN)"'
	@$(B)/ondol run --stats -- /bin/sh -c '$(RUN)'

$(B)/bench/%: bench/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -o $@ $<
# memset is wrapped, so that a fault can be timed without clearing the page.
$(B)/bench/core: bench/core.c bench/common.h $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -Iinclude -o $@ $< $(B)/libondol.a \
		-Wl,--wrap=memset -ldl
$(B)/bench/slab: bench/slab.c bench/common.h $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -Iinclude -o $@ $< $(B)/libondol.a -pthread -ldl
# std::map beside it, where there is a C++ compiler.
BENCH_CXX := $(shell command -v $(or $(CXX),c++))
$(B)/bench/vma: bench/vma.c bench/vma_map.cc bench/common.h $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(if $(BENCH_CXX),$(BENCH_CXX) $(CFLAGS) -Wall -Wextra -c -o $@-map.o bench/vma_map.cc)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -Iinclude $(if $(BENCH_CXX),-DHAVE_STD_MAP) -o $@ $< \
		$(if $(BENCH_CXX),$@-map.o) $(B)/libondol.a $(if $(BENCH_CXX),-lstdc++)
$(B)/bench/compact: bench/compact.c bench/common.h $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -Iinclude -o $@ $< $(B)/libondol.a
bench-compact: $(B)/bench/compact
	@taskset -c 0 $(B)/bench/compact
bench-thp: all $(B)/bench/touch
	@bench/thp.sh
bench-vma: $(B)/bench/vma
	@taskset -c 0 $(B)/bench/vma
$(B)/bench/phys-%: bench/phys.c bench/phys_%.h $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -Iinclude -DADAPTER='"phys_$*.h"' -o $@ $< \
		$(B)/libondol.a -pthread
$(B)/bench/pair: bench/pair.c bench/phys_ondol.h $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -Iinclude -no-pie -o $@ $< $(B)/libondol.a
WRAPS := alloc_pages alloc_pages_node free_pages put_page split_page
$(B)/bench/ondol-trace: bench/trace.c bench/trace.h $(PORT_OBJ) $(B)/libondol.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -D_GNU_SOURCE -Iinclude $(STATIC) -o $@ $< $(PORT_OBJ) \
		$(B)/libondol.a $(WRAPS:%=-Wl,--wrap=ondol_%) -pthread
$(B)/bench/lazy: bench/lazy.c bench/trace.h $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -Iinclude -o $@ $< $(B)/libondol.a
$(B)/bench/malloc: bench/malloc.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -D_GNU_SOURCE -fno-builtin-malloc -o $@ $< -pthread
$(B)/bench/timed: bench/timed.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -D_GNU_SOURCE -static -o $@ $<
$(B)/bench/warm: bench/warm.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -o $@ $<
bench-malloc: $(B)/libondol-malloc.so $(B)/bench/malloc $(B)/bench/timed $(B)/bench/warm
	@B=$(B) WRITE=$(WRITE) bench/malloc.sh
bench-phys: $(B)/bench/phys-ondol $(B)/bench/phys-floor $(B)/bench/lazy $(B)/bench/pair
	@B=$(B) bench/phys.sh
# jemalloc's thread-local memory, which it wants where it is when loaded late.
STATIC_TLS := GLIBC_TUNABLES=glibc.rtld.optional_static_tls=65536
bench-slab: $(B)/bench/core $(B)/bench/slab
	@$(STATIC_TLS) taskset -c 0 $(B)/bench/core 9 objects
	@$(STATIC_TLS) $(B)/bench/slab
bench-affinity: all
	@B=$(B) bench/affinity.sh
bench-parallel: all $(B)/bench/turns $(B)/bench/crews
	@B=$(B) bench/parallel.sh
bench: all $(B)/bench/guest $(B)/bench/wall $(B)/bench/core $(B)/bench/warm
	@B=$(B) bench/run.sh

# ---------------------------------------------------------------- tests
# One program a file.  tests/unit and tests/proof look inside core; the others see public headers.

TEST_SRC := $(wildcard tests/unit/*_test.c tests/model/*_test.c tests/faults/*_test.c)
TEST_BIN := $(TEST_SRC:%.c=$(B)/%)
THREADED_SRC := $(shell grep -l pthread_create $(TEST_SRC) /dev/null)
THREADED_BIN := $(THREADED_SRC:%.c=$(B)/%)
FUZZ_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -Iinclude -Itests

$(B)/tests/%: tests/%.c $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -MMD -MP -o $@ $< $(B)/libondol.a -lcmocka -pthread
$(B)/tests/fuzz/elf_smoke: tests/fuzz/elf_fuzz.c $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FUZZ_CFLAGS) -DFUZZ_SMOKE -MMD -MP -o $@ $< $(B)/libondol.a

# Under simulated CPUs: the core built anew, with a point at each of its atomic operations.
SIM_FLAGS := -O1 -g -Iports -include ports/sim/points.h
SIM_TESTS := build/sim/tests/unit/phys_sim build/sim/tests/unit/slab_sim
build/sim/tests/unit/%_sim: tests/unit/%_sim.c $(wildcard ports/sim/*) $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -MMD -MP -o $@ $< ports/sim/sim.c $(B)/libondol.a -lcmocka
sim-build:
	@$(MAKE) --no-print-directory B=build/sim CFLAGS='$(SIM_FLAGS)' $(SIM_TESTS)

# The lab's own parts, without the command's main().
LAB_SRC := $(wildcard tools/lab/*.c) tools/ondol/size.c
LAB_OBJ := $(LAB_SRC:%.c=$(B)/%.o) $(B)/lab_files.o
LAB_BIN := $(patsubst %.c,$(B)/%,$(wildcard tests/lab/*_test.c)) $(B)/tests/fuzz/lab_smoke
$(B)/tests/lab/%: tests/lab/%.c $(LAB_OBJ) $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -Itools -MMD -MP -o $@ $< $(LAB_OBJ) $(B)/libondol.a \
		-lcmocka
$(B)/tests/fuzz/lab_smoke: tests/fuzz/lab_fuzz.c $(LAB_OBJ) $(B)/libondol.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(FUZZ_CFLAGS) -Itools -DFUZZ_SMOKE -MMD -MP -o $@ $< $(LAB_OBJ) \
		$(B)/libondol.a

KEYS := 'if command -v python3 >/dev/null; then tests/lab/keys.py; else \
	echo "ok - keys \# SKIP no python3"; fi'

CORE_TESTS := $(TEST_BIN) $(LAB_BIN) $(if $(wildcard core/virt/*.c),$(B)/tests/fuzz/elf_smoke)
FAST_TESTS := $(CORE_TESTS) $(SIM_TESTS) tests/canary/run.sh tests/canary/sim.sh \
	tests/tidy/source.sh tests/tidy/headers.sh tests/tidy/objects.sh \
	'$(B)/ondol lab --check' tests/lab/pictures.sh $(KEYS)
core-tests: $(CORE_TESTS)
threaded-tests: $(THREADED_BIN)

# The same tests, instrumented, in a build folder of their own.
ASAN_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
TSAN_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
ASAN_TESTS := $(CORE_TESTS:$(B)/%=build/asan/%)
# Fixed addresses: older runtimes do not know the layouts of newer kernels.
TSAN_TESTS := $(THREADED_BIN:$(B)/%='setarch -R build/tsan/%')
asan-build:
	@$(MAKE) --no-print-directory B=build/asan CFLAGS='$(ASAN_FLAGS)' core-tests
tsan-build:
	@$(MAKE) --no-print-directory B=build/tsan CFLAGS='$(TSAN_FLAGS)' threaded-tests

need:
	@tools/dev/need.sh
check: all $(CORE_TESTS) sim-build $(B)/tests/canary/canary
	@tests/run.sh $(FAST_TESTS)
asan: asan-build
	@tests/run.sh $(ASAN_TESTS)
tsan: tsan-build
	@$(if $(TSAN_TESTS),tests/run.sh $(TSAN_TESTS),echo "0 passed, 0 failed")
with_python = 'if command -v python3 >/dev/null; then tests/programs/$1.py; else \
	echo "ok - $1 \# SKIP no python3"; fi'
PROGRAM_TESTS := tests/programs/bad_days.sh tests/programs/swap.sh tests/programs/as_user.sh \
	'tests/programs/traps.sh here' 'tests/programs/traps.sh traced' \
	'tests/programs/traps.sh user' 'tests/programs/traps.sh container' \
	tests/programs/nodes.sh tests/programs/slabs.sh \
	tests/programs/layout.sh tests/programs/overcommit.sh tests/programs/memcg.sh \
	tests/programs/compact.sh tests/programs/thp.sh tests/programs/ksm.sh tests/programs/i386.sh \
	$(call with_python,terminal) $(call with_python,reports)
LADDER_TEST := 'if command -v python3 >/dev/null; then tests/ladder/ladder.py --fast; else \
	echo "ok - ladder \# SKIP no python3"; fi'
CONFORM_TEST := 'if command -v python3 >/dev/null; then tests/conform/conform.py; else \
	echo "ok - conform \# SKIP no python3"; fi'
# Programs that a test in Python starts itself; run.sh builds its own.
GUESTS := $(B)/tests/programs/heap_steps $(B)/tests/programs/crowd
SOAK_TEST := 'if command -v python3 >/dev/null; then tests/soak/soak.py --fast; else \
	echo "ok - soak \# SKIP no python3"; fi'
programs: all $(GUESTS)
	@T= tests/run.sh 'tests/programs/run.sh $(T)' $(if $(T),,$(PROGRAM_TESTS))
conform: all
	@T= tests/run.sh 'tests/conform/conform.py --steps $(or $(STEPS),100000)'
soak: all $(GUESTS)
	@tests/soak/soak.py $(if $(FORKS),--forks $(FORKS))
ladder: all
	@tests/ladder/ladder.py $(RUNG)
# Slow, and so no part of `make test`: an emulated processor.
vm-test: all
	@tools/dev/need.sh vm
	@tests/programs/run.sh -b
	@tests/programs/run.sh -b -p i386
	@T= tests/vm/run.sh '$(or $(VM_RUN),tests/programs/i386.sh $(T))'
MALLOC_TESTS := tests/malloc/run.sh $(B)/tests/malloc/fuzz $(B)/tests/malloc/stress \
	'setarch -R build/tsan/tests/malloc/stress' \
	'ONDOL_MALLOC_NODES=3 setarch -R build/tsan/tests/malloc/stress' \
	'ONDOL_MALLOC_DEBUG=FZPU setarch -R build/tsan/tests/malloc/stress 2000' \
	'ONDOL_MALLOC_SECURE=1 setarch -R build/tsan/tests/malloc/stress' \
	'ONDOL_MALLOC_PROFILE=/dev/null setarch -R build/tsan/tests/malloc/stress'
malloc-test: all malloc-stress-build $(EMBED_TESTS:%=$(B)/tests/malloc/%)
	@tests/run.sh $(MALLOC_TESTS)
test:
	@tools/dev/need.sh
	@$(MAKE) --no-print-directory all core-tests sim-build $(B)/tests/canary/canary asan-build tsan-build \
		malloc-stress-build $(EMBED_TESTS:%=$(B)/tests/malloc/%) $(GUESTS)
	@tests/run.sh $(FAST_TESTS) tests/tidy/variants.sh $(ASAN_TESTS) $(TSAN_TESTS) \
		$(MALLOC_TESTS) $(CONFORM_TEST) tests/programs/run.sh $(PROGRAM_TESTS) \
		$(LADDER_TEST) $(SOAK_TEST)

# Provers are large: only who asks for proofs needs them.
proof:
	@tools/dev/need.sh proof
	@tests/run.sh tests/proof/bits.sh tests/proof/run.sh tests/spin/run.sh

FUZZ_SECONDS ?= 60
fuzz:
	@$(MAKE) --no-print-directory B=build/fuzz CC=clang \
		CFLAGS='-O1 -g -fsanitize=address,undefined,fuzzer-no-link' build/fuzz/libondol.a \
		$(LAB_OBJ:$(B)/%=build/fuzz/%)
	clang -O1 -g -fsanitize=address,undefined,fuzzer $(FUZZ_CFLAGS) -o build/fuzz/elf_fuzz \
		tests/fuzz/elf_fuzz.c build/fuzz/libondol.a
	@mkdir -p build/fuzz/corpus-elf
	build/fuzz/elf_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/ build/fuzz/corpus-elf tests/fuzz/corpus/elf
	clang -O1 -g -fsanitize=address,undefined,fuzzer $(FUZZ_CFLAGS) -Icore -o build/fuzz/lz4_fuzz \
		tests/unit/lz4_fuzz.c build/fuzz/libondol.a
	@mkdir -p build/fuzz/corpus-lz4
	build/fuzz/lz4_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/ build/fuzz/corpus-lz4
	clang -O1 -g -fsanitize=address,undefined,fuzzer $(FUZZ_CFLAGS) -Itools \
		-o build/fuzz/lab_fuzz tests/fuzz/lab_fuzz.c $(LAB_OBJ:$(B)/%=build/fuzz/%) \
		build/fuzz/libondol.a
	@$(MAKE) --no-print-directory B=build/fuzz CC=clang \
		CFLAGS='-O1 -g -fsanitize=undefined,fuzzer-no-link' $(EMBED_SRC:%.c=build/fuzz/embed/%.o)
	clang -O1 -g -fsanitize=undefined,address,fuzzer $(FUZZ_CFLAGS) -o build/fuzz/malloc_fuzz \
		tests/malloc/fuzz.c $(EMBED_SRC:%.c=build/fuzz/embed/%.o) build/fuzz/libondol.a
	@mkdir -p build/fuzz/corpus-malloc
	build/fuzz/malloc_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=1024 -rss_limit_mb=8192 \
		-artifact_prefix=build/fuzz/ -print_final_stats=1 build/fuzz/corpus-malloc
	@mkdir -p build/fuzz/corpus-lab
	for f in $(LAB_FILES); do cp $$f build/fuzz/corpus-lab; done
	build/fuzz/lab_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/ build/fuzz/corpus-lab

# Look at them before they are committed.
.PHONY: pictures
pictures: all
	tests/lab/pictures.sh --write

help:
	@sed -n 's/^#   make/  make/p' Makefile
	@echo '  T=substring: only tests whose name contains it; SEED=N: a random test again'

clean:
	rm -rf $(B)

-include $(EMBED_OBJ:.o=.d) $(MALLOC_OBJ:.o=.d) $(MALLOC_CORE_OBJ:.o=.d)
-include $(SIM_TESTS:=.d) $(CORE_OBJ:.o=.d) $(PORT_OBJ:.o=.d) $(CORE_TESTS:=.d)
.PHONY: sim-build proof all run bench bench-phys bench-affinity help core-objects core-tests \
	threaded-tests asan-build tsan-build need check asan tsan programs test fuzz clean
.PHONY: vm-test soak bench-parallel bench-malloc bench-vma bench-compact bench-thp bench-slab malloc-test conform ladder
.DELETE_ON_ERROR:
