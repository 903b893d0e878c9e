/* SPDX-License-Identifier: MIT */
/* Numbers of zones. */
#include "phys/zone_id.h"
