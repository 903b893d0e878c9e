/* SPDX-License-Identifier: MIT */
/* A sentence for every error number the library returns. */
#include <ondol/types.h>

static const struct {
	int error;
	const char *text;
} error_texts[] = {
	{ ONDOL_OK, "no error" },
	{ ONDOL_EPERM, "operation not permitted" },
	{ ONDOL_ENOENT, "no such object" },
	{ ONDOL_EIO, "input or output failed" },
	{ ONDOL_ENXIO, "beyond the end of the mapped file" },
	{ ONDOL_E2BIG, "too long" },
	{ ONDOL_ENOEXEC, "not a program that can be executed" },
	{ ONDOL_EBADF, "not a valid file" },
	{ ONDOL_EAGAIN, "not now, try again" },
	{ ONDOL_ENOMEM, "out of memory" },
	{ ONDOL_EACCES, "access denied" },
	{ ONDOL_EFAULT, "bad address" },
	{ ONDOL_EBUSY, "still in use" },
	{ ONDOL_EEXIST, "already there" },
	{ ONDOL_EINVAL, "invalid argument" },
	{ ONDOL_ENOSPC, "no space left" },
	{ ONDOL_ENOSYS, "no such function" },
	{ ONDOL_EOVERFLOW, "value too large" },
	{ ONDOL_EOPNOTSUPP, "operation not supported" },
	{ ONDOL_EUCLEAN, "an invariant is broken" },
};

const char *ondol_strerror(int error)
{
	for (size_t i = 0; i < sizeof error_texts / sizeof error_texts[0]; i++)
		if (error_texts[i].error == error || error_texts[i].error == -error)
			return error_texts[i].text;
	return "unknown error";
}
