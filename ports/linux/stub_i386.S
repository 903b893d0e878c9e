/* SPDX-License-Identifier: MIT */
/*
 * The stub for 32-bit programs: the same code, at an address that a 32-bit process can have.  It
 * is 64-bit code there, too: the monitor switches the thread's code segment (i386.c).
 */
#define STUB_I386
#include "stub.S"
