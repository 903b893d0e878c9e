/* SPDX-License-Identifier: MIT */
/* The one way out of a failed check: the port's panic. */
#include "base/assert.h"

void ondol_panic(const struct ondol_port *port, const char *file, uint32_t line,
		 const char *function, const char *expression, const char *invariant,
		 uint64_t detail0, uint64_t detail1)
{
	struct ondol_panic_report report = {
		.file = file,
		.function = function,
		.expression = expression,
		.line = line,
		.invariant = invariant,
		.detail = { detail0, detail1 },
	};

	port->panic(port->ctx, &report);
	__builtin_trap(); /* the port broke its promise not to return */
}
