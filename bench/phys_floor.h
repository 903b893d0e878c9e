/* SPDX-License-Identifier: MIT */
/*
 * The bound: a stack of frame numbers for each CPU over one shared stack for each order.  It
 * merges nothing, checks nothing and knows no zones: what any allocator pays for handing on.
 */
#define FLOOR_CAP 512u
#define FLOOR_BATCH 64u

struct floor_stack { uint32_t nr, frame[FLOOR_CAP]; } __attribute__((aligned(64)));
static struct floor_stack floor_cpu[2][10];
static struct floor_order { int lock; uint64_t nr; uint32_t *frame; } floor_order[10];

static const char *ad_name(void) { return "bound"; }

static void ad_init(uint64_t bytes, uint32_t cpus)
{
	(void)cpus;
	nr_frames = bytes >> 12;
	for (unsigned order = 0; order < 10; order += order ? 5 : 4) {
		struct floor_order *all = &floor_order[order];

		all->nr = nr_frames >> order;
		all->frame = calloc(all->nr, sizeof *all->frame);
		for (uint64_t i = 0; i < all->nr; i++)
			all->frame[i] = (uint32_t)((all->nr - 1 - i) << order);
	}
}

static void floor_lock(int *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(lock, __ATOMIC_RELAXED))
			;
}

static __attribute__((noinline)) bool floor_refill(struct floor_stack *mine, unsigned order)
{
	struct floor_order *all = &floor_order[order];

	floor_lock(&all->lock);
	mine->nr = all->nr < FLOOR_BATCH ? (uint32_t)all->nr : FLOOR_BATCH;
	all->nr -= mine->nr;
	memcpy(mine->frame, all->frame + all->nr, mine->nr * sizeof *all->frame);
	__atomic_store_n(&all->lock, 0, __ATOMIC_RELEASE);
	return mine->nr != 0;
}

static __attribute__((noinline)) void floor_spill(struct floor_stack *mine, unsigned order)
{
	struct floor_order *all = &floor_order[order];

	floor_lock(&all->lock);
	memcpy(all->frame + all->nr, mine->frame, FLOOR_BATCH * sizeof *all->frame);
	all->nr += FLOOR_BATCH;
	__atomic_store_n(&all->lock, 0, __ATOMIC_RELEASE);
	mine->nr -= FLOOR_BATCH;
	memmove(mine->frame, mine->frame + FLOOR_BATCH, mine->nr * sizeof *mine->frame);
}

static inline uintptr_t ad_alloc(uint32_t cpu, unsigned order)
{
	struct floor_stack *mine = &floor_cpu[cpu][order];

	if (!mine->nr && !floor_refill(mine, order))
		return 0;
	return mine->frame[--mine->nr] + 1ull;
}

static inline void ad_free(uint32_t cpu, uintptr_t frame, unsigned order)
{
	struct floor_stack *mine = &floor_cpu[cpu][order];

	if (mine->nr == FLOOR_CAP)
		floor_spill(mine, order);
	mine->frame[mine->nr++] = (uint32_t)frame - 1;
}

static void ad_meta(void) { printf("bound: 4 bytes a frame and order\n"); }
