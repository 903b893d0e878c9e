/* SPDX-License-Identifier: MIT */
/*
 * The stack that a new program finds (F9): strings at the top, vectors below.
 *
 *   stack_top  +--------------------------------+
 *              | one zero word                  |
 *              | execfn string                  |
 *   env_end    | environment strings            |
 *   arg_end    | argument strings               | arg_end = env_start
 *   arg_start  +--------------------------------+
 *              | padding to 16                  |
 *              | platform string, 16 random bytes
 *              | padding                        |
 *              | auxv pairs ... AT_NULL, 0      |
 *              | envp pointers ... NULL         |
 *              | argv pointers ... NULL         |
 *   sp         | argc                           | a multiple of 16
 *              +--------------------------------+
 *              | room to grow into: the region starts 128 KiB below the strings' pages
 *              +--------------------------------+
 *
 * Words are 8 bytes, or 4 for a 32-bit program.
 *
 * Sources: System V ABI, AMD64 supplement, 3.4.1 "Initial Stack and Register State"; the
 * i386 supplement, 3-25; exec(3) and getauxval(3); Linux's behaviour, fs/exec.c and
 * fs/binfmt_elf.c.
 */
#include <ondol/loader.h>

enum { AT_NULL = 0, AT_PLATFORM = 15, AT_RANDOM = 25, AT_EXECFN = 31 };

#define STACK_EXPAND (UINT64_C(128) << 10)
#define STACK_LIMIT_DEFAULT (UINT64_C(8) << 20)
#define STRINGS_MIN (UINT64_C(128) << 10) /* always allowed: ARG_MAX of old */
#define STRING_MAX (UINT64_C(32) * ONDOL_PAGE_SIZE)

struct plan { /* addresses in the new program */
	uint64_t top, execfn, args, envs, platform, random, sp, start;
	uint32_t word; /* bytes */
};

struct writer { /* collects words on their way to the stack */
	struct ondol_mm_struct *mm;
	uint64_t addr; /* where buf goes */
	uint32_t used, word;
	unsigned char buf[256];
};

static size_t length_with_nul(const char *s)
{
	size_t n = 0;

	while (s[n++])
		;
	return n;
}

static int writer_flush(struct writer *w)
{
	int r = w->used ? ondol_copy_to_user(w->mm, w->addr, w->buf, w->used) : 0;

	w->addr += w->used;
	w->used = 0;
	return r;
}

static int writer_put(struct writer *w, uint64_t value)
{
	for (uint32_t i = 0; i < w->word; i++)
		w->buf[w->used++] = (unsigned char)(value >> (8 * i));
	return w->used + w->word > sizeof w->buf ? writer_flush(w) : 0;
}

/* The strings are argc + envc in number and end with the last; where envp's begin. */
static int check_strings(const struct ondol_stack_args *args, size_t *out_env)
{
	uint64_t nr = (uint64_t)args->argc + args->envc, seen = 0;
	size_t start = 0;

	*out_env = args->argc ? args->strings_size : 0;
	for (size_t i = 0; i < args->strings_size; i++) {
		if (args->strings[i])
			continue;
		if (i + 1 - start > STRING_MAX)
			return -ONDOL_E2BIG;
		start = i + 1;
		if (++seen == args->argc)
			*out_env = start;
	}
	return seen == nr && start == args->strings_size ? 0 : -ONDOL_EINVAL;
}

static int make_plan(struct ondol_mm_struct *mm, const struct ondol_stack_args *args,
		     struct plan *p)
{
	uint64_t execfn_size = length_with_nul(args->execfn), limit, pointers, words;
	struct ondol_mm_limits limits;
	size_t env;
	int r = check_strings(args, &env);

	if (r)
		return r;
	ondol_mm_limits(mm, &limits);
	p->word = args->elf_class == 1 ? 4 : 8;
	p->top = args->stack_top ? args->stack_top : ondol_mm_profile(mm)->stack_top;
	if ((p->top & ~ONDOL_PAGE_MASK) || (p->word == 4 && p->top > UINT64_C(1) << 32))
		return -ONDOL_EINVAL;

	/* A quarter of the stack limit, at most 6 MiB, at least 128 KiB, pointers included. */
	limit = limits.stack / 4;
	if (limit > STACK_LIMIT_DEFAULT / 4 * 3)
		limit = STACK_LIMIT_DEFAULT / 4 * 3;
	if (limit < STRINGS_MIN)
		limit = STRINGS_MIN;
	pointers = ((uint64_t)(args->argc ? args->argc : 1) + args->envc) * p->word;
	if (limit <= pointers || args->strings_size + execfn_size > limit - pointers)
		return -ONDOL_E2BIG;
	/* argc, two NULLs, AT_NULL's pair */
	words = 5 + (uint64_t)args->argc + args->envc + 2 * (uint64_t)args->nr_auxv;
	/* Bounds every subtraction below: the strings, words, padding and a page of rest. */
	if (p->top < limit + words * p->word + STACK_EXPAND + 2 * ONDOL_PAGE_SIZE)
		return -ONDOL_ENOMEM;

	p->execfn = p->top - p->word - execfn_size;
	p->args = p->execfn - args->strings_size;
	p->envs = p->args + env;
	p->platform = p->args & ~UINT64_C(15);
	if (args->platform) {
		size_t n = length_with_nul(args->platform);

		if (n > 256)
			return -ONDOL_EINVAL;
		p->platform -= n;
	}
	p->random = p->platform - sizeof args->random;
	p->sp = (p->random - words * p->word) & ~UINT64_C(15);

	p->start = (p->args & ONDOL_PAGE_MASK) - STACK_EXPAND;
	if (limits.stack < p->top - p->start)
		p->start = p->top - (limits.stack & ONDOL_PAGE_MASK);
	if (p->start > p->sp)
		p->start = p->sp & ONDOL_PAGE_MASK;
	return 0;
}

static int map_stack(struct ondol_mm_struct *mm, const struct plan *p, bool executable)
{
	struct ondol_mmap_args args = {
		.size = sizeof args,
		.map_flags = ONDOL_MAP_FIXED_NOREPLACE,
		.vm_flags = ONDOL_VM_READ | ONDOL_VM_WRITE | (executable ? ONDOL_VM_EXEC : 0) |
			    ONDOL_VM_MAYREAD | ONDOL_VM_MAYWRITE | ONDOL_VM_MAYEXEC |
			    ONDOL_VM_GROWSDOWN | ONDOL_VM_STACK,
		.addr = p->start,
		.length = p->top - p->start,
	};
	ondol_virt_addr_t got;

	return ondol_mmap(mm, &args, &got);
}

static int write_strings(struct ondol_mm_struct *mm, const struct ondol_stack_args *args,
			 const struct plan *p)
{
	int r = 0;

	if (args->strings_size)
		r = ondol_copy_to_user(mm, p->args, args->strings, args->strings_size);
	if (!r)
		r = ondol_copy_to_user(mm, p->execfn, args->execfn, length_with_nul(args->execfn));
	if (!r && args->platform)
		r = ondol_copy_to_user(mm, p->platform, args->platform,
				       length_with_nul(args->platform));
	if (!r)
		r = ondol_copy_to_user(mm, p->random, args->random, sizeof args->random);
	return r;
}

/* Pointers to nr consecutive strings, and a NULL; *at moves behind the last string. */
static int write_pointers(struct writer *w, const struct ondol_stack_args *args, uint64_t addr,
			  uint32_t nr, size_t *at)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < nr; i++) {
		r = writer_put(w, addr + *at);
		*at += length_with_nul(args->strings + *at);
	}
	return r ? r : writer_put(w, 0);
}

static uint64_t aux_value(const struct ondol_auxv *aux, const struct ondol_stack_args *args,
			  const struct plan *p)
{
	switch (aux->type) {
	case AT_RANDOM:
		return p->random;
	case AT_EXECFN:
		return p->execfn;
	case AT_PLATFORM:
		return args->platform ? p->platform : 0;
	default:
		return aux->value;
	}
}

static int write_vectors(struct ondol_mm_struct *mm, const struct ondol_stack_args *args,
			 const struct plan *p)
{
	struct writer w = { .mm = mm, .addr = p->sp, .word = p->word };
	size_t at = 0;
	int r = writer_put(&w, args->argc);

	if (!r)
		r = write_pointers(&w, args, p->args, args->argc, &at);
	if (!r)
		r = write_pointers(&w, args, p->args, args->envc, &at);
	for (uint32_t i = 0; !r && i < args->nr_auxv; i++) {
		r = writer_put(&w, args->auxv[i].type);
		if (!r)
			r = writer_put(&w, aux_value(&args->auxv[i], args, p));
	}
	if (!r)
		r = writer_put(&w, AT_NULL);
	if (!r)
		r = writer_put(&w, 0);
	return r ? r : writer_flush(&w);
}

int ondol_setup_stack(struct ondol_mm_struct *mm, const struct ondol_stack_args *args,
		      ondol_virt_addr_t *out_sp)
{
	struct ondol_mm_layout layout;
	struct plan p;
	int r = make_plan(mm, args, &p);

	if (!r)
		r = map_stack(mm, &p, args->executable);
	if (!r)
		r = write_strings(mm, args, &p);
	if (!r)
		r = write_vectors(mm, args, &p);
	if (r)
		return r;
	ondol_mm_layout(mm, &layout);
	layout.start_stack = p.sp;
	layout.arg_start = p.args;
	layout.arg_end = layout.env_start = p.envs;
	layout.env_end = p.execfn;
	ondol_mm_set_layout(mm, &layout);
	*out_sp = p.sp;
	return 0;
}
