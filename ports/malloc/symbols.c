/* SPDX-License-Identifier: MIT */
/*
 * From addresses to functions and lines, for reports: elfutils' libdw, if this machine has it,
 * loaded when the first report is written; without it the loader's own dladdr, which knows the
 * functions that are exported.  Nothing here is linked against libdw.  A static program is asked
 * for its own table (symbols_own.c).
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/types.h>
#include <unistd.h>

#include "internal.h"

/* Of elfutils/libdwfl.h, what is needed; all of it has been the same since 2005. */
typedef struct Dwfl Dwfl;
typedef struct Dwfl_Module Dwfl_Module;
typedef struct Dwfl_Line Dwfl_Line;
struct dwfl_callbacks {
	int (*find_elf)(Dwfl_Module *, void **, const char *, uint64_t, char **, void *);
	int (*find_debuginfo)(Dwfl_Module *, void **, const char *, uint64_t, const char *,
			      const char *, uint32_t, char **);
	int (*section_address)(Dwfl_Module *, void **, const char *, uint64_t, const char *,
			       uint32_t, const void *, uint64_t *);
	char **debuginfo_path;
};
static struct {
	Dwfl *(*begin)(const struct dwfl_callbacks *);
	void (*end)(Dwfl *);
	int (*proc_report)(Dwfl *, pid_t);
	int (*report_end)(Dwfl *, void *, void *);
	Dwfl_Module *(*addrmodule)(Dwfl *, uint64_t);
	const char *(*addrname)(Dwfl_Module *, uint64_t);
	Dwfl_Line *(*getsrc)(Dwfl_Module *, uint64_t);
	const char *(*lineinfo)(Dwfl_Line *, uint64_t *, int *, int *, uint64_t *, uint64_t *);
} dw;
static struct dwfl_callbacks callbacks;
static int (*standard_debuginfo)(Dwfl_Module *, void **, const char *, uint64_t, const char *,
				 const char *, uint32_t, char **);
static char *no_path;
static Dwfl *dwfl;
static bool is_static; /* no interpreter: what dlopen would load has a libc of its own */

extern void *dlopen_or_not(const char *, int) __asm__("dlopen") __attribute__((weak));
extern void *dlsym_or_not(void *, const char *) __asm__("dlsym") __attribute__((weak));
extern int dladdr_or_not(const void *, Dl_info *) __asm__("dladdr") __attribute__((weak));
extern char *demangle(const char *, char *, size_t *, int *) __asm__("__cxa_demangle")
	__attribute__((weak));

/* libdw would ask servers in the network for what is not here; a report should not. */
static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, uint64_t base,
			  const char *file, const char *link, uint32_t crc, char **out_file)
{
	const char *servers = getenv("DEBUGINFOD_URLS");

	if (servers && *servers)
		return -1;
	return standard_debuginfo(module, userdata, name, base, file, link, crc, out_file);
}

static bool load(void)
{
	static const char *const names[] = {
		"dwfl_begin", "dwfl_end", "dwfl_linux_proc_report", "dwfl_report_end",
		"dwfl_addrmodule", "dwfl_module_addrname", "dwfl_module_getsrc", "dwfl_lineinfo",
	};
	static int state; /* 0 not tried, 1 there, -1 not there */
	void **functions = (void **)&dw, *library;

	if (state || !dlopen_or_not || !dlsym_or_not)
		return state > 0;
	state = -1;
	library = dlopen_or_not("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!(functions[i] = dlsym_or_not(library, names[i])))
			return false;
	*(void **)&callbacks.find_elf = dlsym_or_not(library, "dwfl_linux_proc_find_elf");
	*(void **)&standard_debuginfo = dlsym_or_not(library, "dwfl_standard_find_debuginfo");
	if (!callbacks.find_elf || !standard_debuginfo)
		return false;
	callbacks.find_debuginfo = find_debuginfo;
	callbacks.debuginfo_path = &no_path;
	state = 1;
	return true;
}

void symbols_begin(void)
{
	ondol_thread.is_reporting = true;
	is_static = !getauxval(AT_BASE);
	if (is_static && own_symbols_begin())
		return;
	if (is_static || !load() || !(dwfl = dw.begin(&callbacks)))
		return;
	if (dw.proc_report(dwfl, getpid()) || dw.report_end(dwfl, NULL, NULL)) {
		dw.end(dwfl);
		dwfl = NULL;
	}
}

static const char *readable(const char *name)
{
	char *clear = name && demangle ? demangle(name, NULL, NULL, NULL) : NULL;

	return clear ? clear : name;
}

void symbols_find(uintptr_t pc, struct symbol *out)
{
	Dwfl_Module *module = dwfl ? dw.addrmodule(dwfl, pc) : NULL;
	Dwfl_Line *line = module ? dw.getsrc(module, pc) : NULL;
	Dl_info info;

	*out = (struct symbol){ 0 };
	out->offset = pc;
	if (is_static) {
		own_symbols_find(pc, out);
		out->function = readable(out->function);
		return;
	}
	if (dladdr_or_not && dladdr_or_not((void *)pc, &info)) {
		out->module = info.dli_fname;
		out->offset = pc - (uintptr_t)info.dli_fbase;
		out->function = info.dli_sname;
	}
	if (module && dw.addrname(module, pc))
		out->function = dw.addrname(module, pc);
	out->function = readable(out->function);
	if (line)
		out->file = dw.lineinfo(line, NULL, &out->line, NULL, NULL, NULL);
}

void symbols_end(void)
{
	if (dwfl)
		dw.end(dwfl);
	dwfl = NULL;
	ondol_thread.is_reporting = false;
}
