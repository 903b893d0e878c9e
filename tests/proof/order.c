/* SPDX-License-Identifier: MIT */
/* Orders: log2_u64, order_at, min and max. */
#include "bits.h"

#include "phys/order.h"
