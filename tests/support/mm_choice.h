/* SPDX-License-Identifier: MIT */
/* What a random mmap of the model test is to map, and where. */
#ifndef TESTS_SUPPORT_MM_CHOICE_H
#define TESTS_SUPPORT_MM_CHOICE_H

#include "support/mm_world.h"
#include "support/ops.h"

struct map_choice {
	struct ondol_mmap_args args;
	struct mpage page; /* as the first one will be */
	unsigned at, n;
	bool fixed;
};

/* What to map. */
static void choose_contents(struct map_choice *c, const struct op *op)
{
	ondol_vm_flags_t flags = pick_prot(op->c);
	unsigned kind = (unsigned)(op->d % 16);

	if (kind < 5)
		c->page.object = w.object[op->d / 16 % FILES];
	if (kind < 3 || kind == 5 || kind == 6)
		flags |= ONDOL_VM_SHARED;
	if (kind == 7)
		flags |= ONDOL_VM_GROWSDOWN;
	if (kind == 8 && !(op->d >> 40 & 3))
		flags |= ONDOL_VM_NATIVE;
	if (kind == 9)
		flags |= ONDOL_VM_LOCKED;
	if (op->d >> 32 & 1)
		flags |= op->d >> 33 & 3 ? MAY_ALL : ONDOL_VM_MAYREAD | ONDOL_VM_MAYEXEC;
	c->page.mapped = true;
	c->page.flags = model_account(flags);
	if (c->page.object)
		c->page.pgoff = (uint32_t)(op->d >> 16) % 60;
	if (flags & ONDOL_VM_NATIVE) {
		c->page.name = 1 + (op->d >> 42 & 1);
		c->args.name = c->page.name == 1 ? "[one]" : "[two]";
	}
	c->args.vm_flags = flags;
	c->args.file = c->page.object ? c->page.object->file : NULL;
	c->args.pgoff = c->page.pgoff;
}

/* Where to: sets args.addr and map_flags; c->at is the page expected, NR: skip this one. */
static void choose_place(struct map_choice *c, const struct model *m, const struct op *op)
{
	unsigned kind = (unsigned)(op->b >> 20) % 8, hint = pick_page(m, op->a);

	c->fixed = kind < 4;
	if (c->fixed && hint + c->n > NR)
		hint = NR - c->n;
	c->at = hint;
	if (kind < 3)
		c->args.map_flags |= ONDOL_MAP_FIXED;
	else if (kind == 3)
		c->args.map_flags |= ONDOL_MAP_FIXED_NOREPLACE;
	if (!c->fixed)
		c->at = model_file_room(m, kind < 6, hint, c->n, c->args.file != NULL,
					(unsigned)(c->args.pgoff - w.hw.first) % 16);
	c->at = c->at + c->n > NR ? NR : c->at;
	if (kind < 6)
		c->args.addr = hw_addr(&w.hw, hint);
	if ((op->b >> 26) % 32 == 0 && kind < 6)
		c->args.addr += 1 + (op->b >> 32) % 4095;
	if ((op->b >> 44) % 4 == 0)
		c->args.map_flags |= ONDOL_MAP_POPULATE;
}

#endif /* TESTS_SUPPORT_MM_CHOICE_H */
