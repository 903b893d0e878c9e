/* SPDX-License-Identifier: MIT */
/* Square roots. */
#include "bits.h"

#include "base/math.h"
