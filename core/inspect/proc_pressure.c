/* SPDX-License-Identifier: MIT */
/* /proc/pressure/memory, in the words of Linux (Documentation/accounting/psi.rst). */
#include <ondol/pressure.h>

#include "base/format.h"
#include "base/math.h"

static void out_average(struct out *out, const char *name, uint32_t hundredths)
{
	out_printf(out, " %s=%u.%02u", name, hundredths / 100, hundredths % 100);
}

int ondol_proc_pressure_memory(struct ondol_machine *m, ondol_write_t write, void *ctx)
{
	struct ondol_psi psi[ONDOL_PSI_NR];
	struct out out;

	ondol_psi_read(m, psi);
	out_init(&out, write, ctx);
	for (unsigned kind = 0; kind < ONDOL_PSI_NR; kind++) {
		out_printf(&out, kind == ONDOL_PSI_SOME ? "some" : "full");
		out_average(&out, "avg10", psi[kind].avg10);
		out_average(&out, "avg60", psi[kind].avg60);
		out_average(&out, "avg300", psi[kind].avg300);
		out_printf(&out, " total=%llu\n",
			   (unsigned long long)div_u64(psi[kind].total_ns, 1000));
	}
	return out_end(&out);
}
