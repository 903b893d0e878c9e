# SPDX-License-Identifier: MIT
CC      ?= cc
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla
B       := build

CORE_CFLAGS := -std=gnu11 -ffreestanding -fno-stack-protector $(WARN) -Iinclude -Icore
PORT_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -Iinclude

CORE_SRC := $(wildcard core/*.c core/*/*.c arch/*/*.c)
PORT_SRC := $(wildcard ports/linux/*.c tools/ondol/*.c)
CORE_OBJ := $(CORE_SRC:%.c=$(B)/%.o)
PORT_OBJ := $(PORT_SRC:%.c=$(B)/%.o)

all: $(B)/ondol

$(B)/libondol.a: $(CORE_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(B)/ondol: $(PORT_OBJ) $(B)/libondol.a
	$(CC) $(CFLAGS) -o $@ $^ -pthread

$(B)/core/%.o: core/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CORE_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/arch/%.o: arch/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CORE_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/ports/%.o: ports/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PORT_CFLAGS) -Iports -MMD -MP -c -o $@ $<
$(B)/tools/%.o: tools/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(PORT_CFLAGS) -Iports -MMD -MP -c -o $@ $<

# Tests: one program a file.  tests/unit may look inside core; the others see public headers.
TEST_SRC := $(wildcard tests/unit/*_test.c tests/model/*_test.c tests/faults/*_test.c)
TEST_BIN := $(TEST_SRC:%.c=$(B)/%)
$(B)/tests/%: tests/%.c $(B)/libondol.a $(wildcard tests/support/*.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -std=gnu11 -D_GNU_SOURCE $(WARN) -Iinclude -Icore -Itests -o $@ $< $(B)/libondol.a -lcmocka -pthread

check: $(TEST_BIN)
	@set -e; for t in $(TEST_BIN); do echo "== $$t"; $$t; done

clean:
	rm -rf $(B)

-include $(CORE_OBJ:.o=.d) $(PORT_OBJ:.o=.d)
.PHONY: all check clean
.DELETE_ON_ERROR:
