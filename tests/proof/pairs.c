/* SPDX-License-Identifier: MIT */
/* Pairs of buddies and their bits: order_buddy, order_pair, order_nr_pairs. */
#include "bits.h"

#include "phys/order.h"
