/* SPDX-License-Identifier: MIT */
/* Objects of up to three quarters of a page in single frames: see zsmalloc.c. */
#ifndef ONDOL_VIRT_ZSMALLOC_H
#define ONDOL_VIRT_ZSMALLOC_H

#include "phys/machine.h"

#define ZS_STEP 64u
#define ZS_MAX (ONDOL_PAGE_SIZE * 3 / 4)
#define ZS_CLASSES (ZS_MAX / ZS_STEP)
#define ZS_FRAMES 4u /* of a zspage, at most */

struct zs_pool {
	struct ondol_machine *m;
	uint64_t frames;
	struct zs_class {
		uint32_t partial; /* index of the first frame of a zspage with room; NIL: none */
		uint16_t objects; /* of a zspage */
		uint8_t frames;
	} class[ZS_CLASSES]; /* of sizes up to ZS_STEP, 2 ZS_STEP, ... */
};

struct zs_handle {
	uint32_t frame; /* index of the zspage's first frame */
	uint16_t object;
};

void zs_init(struct zs_pool *pool, struct ondol_machine *m);
/* `size` bytes of `from`, 1 .. ZS_MAX, kept.  False: no frames, at once and without reclaim. */
bool zs_put(struct zs_pool *pool, const void *from, size_t size, struct zs_handle *out_handle);
/* Where they are in one piece: in place, or copied to `buffer`, which has room for them. */
const void *zs_get(const struct zs_pool *pool, struct zs_handle handle, size_t size, void *buffer);
void zs_free(struct zs_pool *pool, struct zs_handle handle, size_t size);

#endif /* ONDOL_VIRT_ZSMALLOC_H */
