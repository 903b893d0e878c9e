/* SPDX-License-Identifier: MIT */
/* The `ondol` command: its subcommands. */
#ifndef ONDOL_TOOL_H
#define ONDOL_TOOL_H

#include <stdbool.h>
#include <stdint.h>

/* Each gets its own argv: argv[0] is "ondol run" or the like.  Returns the exit status. */
int command_run(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_lab(int argc, char **argv);     /* tools/lab */
int command_machine(int argc, char **argv); /* tools/lab */

/* "64M", "1.5G", "4096": bytes.  False: not a size. */
bool parse_size(const char *text, uint64_t *out_bytes);

#endif /* ONDOL_TOOL_H */
