/* SPDX-License-Identifier: MIT */
/*
 * Where the parts of an address space lie, and by how much chance moves them.
 *
 *     0                                                                    2^47
 *     | program, heap | ....... | PIE, heap | .......... mmap <-| gap | stack | host's |
 *      fixed, or        pie_base ^   brk ^                 base ^         top ^
 *
 * Linux draws four numbers at each exec (Linux arch/x86/mm/mmap.c, arch_mmap_rnd and
 * arch_pick_mmap_layout; fs/binfmt_elf.c, randomize_stack_top and load_bias; process.c,
 * arch_randomize_brk), and so do we, over the same ranges:
 *
 *     pie_base   28 bits of pages above two thirds of the space; ours are multiples of 16 pages, so
 *                that a fault-around window of the program is one of its file
 *     brk        1 GiB behind the program's last segment
 *     mmap_base  28 bits of pages down from below the stack's largest size
 *     stack_top  22 bits of pages down
 *
 * They are all 0 if the program's personality has ADDR_NO_RANDOMIZE (setarch -R; `--no-aslr` is
 * that for the first program, and what it starts inherits it), or by the computer's
 * kernel.randomize_va_space: 0 none, 1 all but the heap's.  With `--seed N` they follow from N and
 * the program's path, AT_RANDOM too, so that every program has the same addresses in every run.
 * The host's own mappings (vdso, [ondol]) are then held in place by ADDR_NO_RANDOMIZE, which
 * personality(2) shows.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>

#include "internal.h"

/*
 * The stack's end.  Linux puts its own stack at most 17 GiB below GUEST_MAX; this is lower, so
 * that nothing of ours meets it.
 */
#define STACK_TOP 0x7ff000000000ul
#define STACK_GAP_MIN (128ul << 20)
#define STACK_GAP_MAX (16ul << 30)
#define PIE_BASE 0x555555550000ul
#define PIE_GRAIN (16 * PAGE_BYTES) /* a fault-around window */

/*
 * 32-bit programs have 3 GiB (requirement F9), as on a kernel of 3G/1G, whose own gigabyte is ours
 * and the host's here: its vdso, what it has put on the stack.  Chance has less room, as Linux's
 * for them: 8 bits of pages, 11 for the stack, 32 MiB for the heap.
 *
 *     0                                                   3 GiB                             4 GiB
 *     | ET_EXEC, heap | ..... | PIE, heap | .. mmap <-| gap | stack | stub | slices |..| vdso ..|
 *      0x08048000              0x80000000 ^   brk ^
 */
#define RANDOM_I386 (1ul << 20)
#define RANDOM_I386_STACK (1ul << 23)
#define RANDOM_I386_BRK (1ul << 25)

#define RANDOM_PIE (1ul << 40)
#define RANDOM_MMAP (1ul << 40)
#define RANDOM_STACK (1ul << 34)
#define RANDOM_BRK (1ul << 30)
#define READY_TOPS 3           /* pages below the end of the ready range that a stack may end at */
#define READY_RAM (64ul << 20) /* with less no page of it is given away for speed */
_Static_assert(STACK_TOP % READY_BYTES == 0, "the filter looks at bits");

_Static_assert(PIE_BASE + RANDOM_PIE + (1ul << 37) < STUB_ADDR, "heaps have room below the stub");

static const struct guest_space space_x86_64 = {
	.end = GUEST_MAX, .stub = STUB_ADDR, .mailbox = STUB_MAILBOX,
	.slices = SLICES_START, .slices_end = SLICES_START + SLICES_BYTES,
	.code = ondol_stub_begin, .code_end = ondol_stub_end,
	.boot = ondol_stub_boot, .worker_create = ondol_stub_worker_create,
};

static const struct guest_space space_i386 = {
	.end = 0xc0000000, .stub = STUB32_ADDR, .mailbox = STUB32_MAILBOX,
	.slices = 0xc2000000, .slices_end = 0xd2000000,
	.code = ondol_stub32_begin, .code_end = ondol_stub32_end,
	.boot = ondol_stub32_boot, .worker_create = ondol_stub32_worker_create,
};

uint64_t mailbox_room_at(const struct monitor *mon)
{
	return mon->space->mailbox + sizeof(struct mailbox);
}

uint64_t stub_at(const struct monitor *mon, const char *part)
{
	return mon->space->stub + (uint64_t)(part - mon->space->code);
}

/* The next of a seed's numbers (splitmix64: Steele, Lea, Flood 2014). */
static uint64_t next_number(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* By path and not by order: programs that start at the same time come in any. */
static uint64_t seed_of(uint64_t seed, const char *path)
{
	uint64_t hash = 0xcbf29ce484222325u ^ seed;

	for (const char *p = path; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
	return hash;
}

uint64_t layout_ready(const struct monitor *mon)
{
	uint64_t state = mon->options->seed;

	if (mon->trap->kernel_too || mon->options->fault_around || mon->ram_bytes < READY_RAM)
		return 0;
	if (!mon->options->seeded &&
	    (!mon->randomize || mon->options->no_aslr ||
	     getrandom(&state, sizeof state, 0) != sizeof state))
		return STACK_TOP - READY_BYTES;
	return STACK_TOP - READY_BYTES - (next_number(&state) % RANDOM_STACK & ~(READY_BYTES - 1));
}

void layout_init(struct monitor *mon)
{
	mon->space = mon->i386 ? &space_i386 : &space_x86_64;
	mon->randomize = (unsigned long)number_in("/proc/sys/kernel/randomize_va_space", 10, 2);
}

/* The host has put its vdso by chance, too: not where the stack may come to be. */
static uint64_t stack_choose(const struct monitor *mon, uint64_t *state, uint64_t vdso)
{
	uint64_t top = STACK_TOP;

	for (unsigned i = 0; i < 16; i++) {
		if (mon->ready_start && !i)
			top = mon->ready_start + READY_BYTES -
			      next_number(state) % READY_TOPS * PAGE_BYTES;
		else
			top = STACK_TOP -
			      (next_number(state) % RANDOM_STACK & ~(PAGE_BYTES - 1));
		if (vdso > top || vdso < top - STACK_GAP_MAX)
			break;
	}
	return top;
}

void layout_choose(const struct monitor *mon, const struct task *task, const char *path,
		   uint64_t vdso, struct guest_layout *out)
{
	bool seeded = mon->options->seeded;
	uint64_t state;
	char file[64];

	*out = (struct guest_layout){ .stack_top = STACK_TOP, .pie_base = PIE_BASE };
	if (mon->i386) {
		out->stack_top = mon->profile.stack_top;
		out->pie_base = mon->profile.exec_base_dyn;
	}
	snprintf(file, sizeof file, "/proc/%d/personality", task->tid);
	if (!seeded && (!mon->randomize || (number_in(file, 16, 0) & ADDR_NO_RANDOMIZE)))
		return;
	state = seed_of(mon->options->seed, path);
	if (!seeded && getrandom(&state, sizeof state, 0) != sizeof state)
		return;
	if (mon->i386) {
		out->pie_base += next_number(&state) % RANDOM_I386 & ~(PAGE_BYTES - 1);
		out->mmap_random = next_number(&state) % RANDOM_I386 & ~(PAGE_BYTES - 1);
		out->brk_random = next_number(&state) % RANDOM_I386_BRK & ~(PAGE_BYTES - 1);
		out->stack_top -= next_number(&state) % RANDOM_I386_STACK & ~(PAGE_BYTES - 1);
	} else {
		out->pie_base += next_number(&state) % RANDOM_PIE & ~(PIE_GRAIN - 1);
		out->mmap_random = next_number(&state) % RANDOM_MMAP & ~(PAGE_BYTES - 1);
		out->brk_random = next_number(&state) % RANDOM_BRK & ~(PAGE_BYTES - 1);
		out->stack_top = stack_choose(mon, &state, vdso);
	}
	if (!seeded && mon->randomize == 1)
		out->brk_random = 0;
	out->has_random = seeded;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t part = next_number(&state);

		memcpy(out->random + i * sizeof part, &part, sizeof part);
	}
}

/* `program` NULL: before it is loaded. */
void layout_set(const struct monitor *mon, struct guest_mm *g, const struct guest_layout *chosen,
		const struct ondol_elf_image *program, uint64_t stack_limit)
{
	const uint64_t most = mon->i386 ? mon->space->end / 6 * 5 : STACK_GAP_MAX;
	struct ondol_mm_layout layout;
	uint64_t gap = stack_limit;

	if (gap < STACK_GAP_MIN)
		gap = STACK_GAP_MIN;
	if (gap > most)
		gap = most;
	ondol_mm_layout(g->mm, &layout);
	layout.mmap_base = chosen->stack_top - ((gap + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)) -
			   (1ul << 20) - chosen->mmap_random;
	if (program) {
		layout.start_code = program->start_code;
		layout.end_code = program->end_code;
		layout.start_data = program->start_data;
		layout.end_data = program->end_data;
		layout.start_brk = ((program->end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)) +
				   chosen->brk_random;
		layout.brk = layout.start_brk;
	}
	ondol_mm_set_layout(g->mm, &layout);
}

/* In the process that is to be the program. */
void layout_hold(const struct ondol_linux_options *options)
{
	if (options->no_aslr || options->seeded)
		personality((unsigned long)personality(0xffffffff) | ADDR_NO_RANDOMIZE);
}
