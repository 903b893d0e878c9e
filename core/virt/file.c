/* SPDX-License-Identifier: MIT */
/* Files and their mappings: creation and references. */
#include "virt/virt.h"

#include "base/format.h"

int ondol_address_space_create(struct ondol_machine *m, const struct ondol_address_space_ops *ops,
			       void *ctx, struct ondol_address_space **out_mapping)
{
	struct ondol_address_space *mapping;
	uintptr_t saved;

	if (ops && (ops->size < sizeof *ops || !ops->read_pages || !ops->size_bytes))
		return -ONDOL_EINVAL;
	mapping = ondol_kmem_cache_alloc(m->virt->mapping_cache, ONDOL_GFP_KERNEL);
	if (!mapping)
		return -ONDOL_ENOMEM;
	*mapping = (struct ondol_address_space){
		.m = m,
		.ops = ops,
		.ctx = ctx,
		.refcount = 1,
		.shmem_pages = UINT64_MAX,
	};
	saved = virt_lock(m);
	mapping->id = m->virt->next_mapping++;
	list_add_tail(&mapping->link, &m->virt->mappings);
	virt_unlock(m, saved);
	*out_mapping = mapping;
	return 0;
}

void ondol_shmem_set_size(struct ondol_address_space *mapping, uint64_t nr_pages)
{
	mapping->shmem_pages = nr_pages;
}

void ondol_address_space_get(struct ondol_address_space *mapping)
{
	__atomic_fetch_add(&mapping->refcount, 1, __ATOMIC_RELAXED);
}

void ondol_address_space_put(struct ondol_address_space *mapping)
{
	struct ondol_machine *m = mapping->m;
	uintptr_t saved;

	if (__atomic_sub_fetch(&mapping->refcount, 1, __ATOMIC_ACQ_REL))
		return;
	saved = virt_lock(m);
	list_del(&mapping->link);
	virt_unlock(m, saved);
	commit_add(m, -(int64_t)mapping->committed);
	if (cache_writeback(mapping, 0, UINT64_MAX))
		log_printf(m->port, ONDOL_LOG_ERR, "pages of a file could not be written back");
	cache_drop_all(mapping);
	ONDOL_VERIFY(m, !mapping->nr_pages, "CACHE-1", mapping->nr_pages, 0);
	ONDOL_VERIFY(m, !mapping->nr_swapped, "SWAP-1", mapping->nr_swapped, 0);
	if (mapping->ops && mapping->ops->release)
		mapping->ops->release(mapping->ctx);
	ondol_kmem_cache_free(m->virt->mapping_cache, mapping);
}

uint64_t ondol_address_space_nr_pages(const struct ondol_address_space *mapping)
{
	return __atomic_load_n(&mapping->nr_pages, __ATOMIC_RELAXED);
}

static size_t length_of(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

int ondol_file_create(struct ondol_machine *m, const struct ondol_file_args *args,
		      struct ondol_file **out_file)
{
	size_t length = args->name ? length_of(args->name) : 0;
	struct ondol_file *file;

	if (args->size < sizeof *args)
		return -ONDOL_EINVAL;
	file = ondol_kmem_cache_alloc(m->virt->file_cache, ONDOL_GFP_KERNEL);
	if (!file)
		return -ONDOL_ENOMEM;
	*file = (struct ondol_file){
		.m = m,
		.mapping = args->mapping,
		.ino = args->ino,
		.dev_major = args->dev_major,
		.dev_minor = args->dev_minor,
		.refcount = 1,
	};
	file->name = ondol_kmalloc(m, length + 1, ONDOL_GFP_KERNEL);
	if (!file->name) {
		ondol_kmem_cache_free(m->virt->file_cache, file);
		return -ONDOL_ENOMEM;
	}
	__builtin_memcpy(file->name, args->name ? args->name : "", length + 1);
	if (file->mapping)
		ondol_address_space_get(file->mapping);
	*out_file = file;
	return 0;
}

void ondol_file_get(struct ondol_file *file)
{
	__atomic_fetch_add(&file->refcount, 1, __ATOMIC_RELAXED);
}

void ondol_file_put(struct ondol_file *file)
{
	struct ondol_machine *m = file->m;

	if (__atomic_sub_fetch(&file->refcount, 1, __ATOMIC_ACQ_REL))
		return;
	if (file->mapping)
		ondol_address_space_put(file->mapping);
	ondol_kfree(m, file->name);
	ondol_kmem_cache_free(m->virt->file_cache, file);
}

void ondol_file_read_ahead(struct ondol_file *file, uint64_t index, uint32_t nr_pages)
{
	struct cache_read read = { .lo = index, .hi = index + min_u64(nr_pages, AROUND_MAX) };

	if (!file->mapping || !file->mapping->ops || !nr_pages || read.hi < index)
		return;
	if (!cache_read_page(file->mapping, index, &read))
		ondol_put_page(file->mapping->m, read.page);
}
