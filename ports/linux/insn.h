/* SPDX-License-Identifier: MIT */
#ifndef ONDOL_LINUX_INSN_H
#define ONDOL_LINUX_INSN_H

#include <stdbool.h>
#include <stdint.h>

#define INSN_BYTES 21 /* 15 are the longest; and room to look ahead */

/* Whether the instruction, which faulted on `addr`, writes there. */
bool insn_writes(const uint8_t insn[INSN_BYTES], uint64_t addr, uint64_t rdi, uint64_t rsp);

#endif /* ONDOL_LINUX_INSN_H */
