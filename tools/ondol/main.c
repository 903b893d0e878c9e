/* SPDX-License-Identifier: MIT */
/* ondol: the command line. */
#include <errno.h>
#include <ondol/ondol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/linux_port.h"
#include "ondol.h"

static const char help[] =
	"Usage: ondol COMMAND [OPTION...]\n"
	"\n"
	"Ondol is the memory management of a Linux-style kernel as a library.  This command\n"
	"puts it to work under real programs.\n"
	"\n"
	"  run      run an unmodified Linux program; all of its memory is Ondol's\n"
	"  lab      small experiments on the allocator, drawn step by step; the notes' figures\n"
	"  machine  show a machine: nodes, zones, banks and holes\n"
	"  doctor   what this machine allows, and how to mend what it does not\n"
	"  help     this text, or `ondol help COMMAND`\n"
	"\n"
	"Try\n"
	"  ondol run -- ls -l\n"
	"  ondol run --stats -- python3 -c 'print(sum(range(10**6)))'\n"
	"  ondol run --mem 64M --nodes 2 -- sh -c 'sort /etc/passwd | head'\n"
	"  ondol lab figures\n"
	"  ondol machine show numa2-movable\n"
	"\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", command_run },
	{ "lab", command_lab },
	{ "machine", command_machine },
	{ "doctor", command_doctor },
};

/* What was printed must have arrived: `ondol --help >/dev/full` fails, as it does with echo. */
static void close_stdout(void)
{
	if (!ferror(stdout) && !fflush(stdout))
		return;
	fprintf(stderr, "ondol: write error: %s\n", strerror(errno));
	_exit(ONDOL_EXIT_CANNOT);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	static char title[64];

	atexit(close_stdout);
	if (!name || !strcmp(name, "--help") || !strcmp(name, "-h") ||
	    (!strcmp(name, "help") && argc < 3)) {
		fputs(help, name ? stdout : stderr);
		return name ? 0 : ONDOL_EXIT_CANNOT;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		printf("ondol %s\n", ONDOL_VERSION);
		return 0;
	}
	if (!strcmp(name, "help")) { /* ondol help run = ondol run --help */
		name = argv[2];
		argv[2] = "--help";
		argc = 3;
	}
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(name, commands[i].name)) {
			snprintf(title, sizeof title, "ondol %s", name);
			argv[1] = title;
			return commands[i].run(argc - 1, argv + 1);
		}
	fprintf(stderr, "ondol: there is no command '%s'; `ondol help` lists them\n", name);
	return ONDOL_EXIT_CANNOT;
}
