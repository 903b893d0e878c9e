/* SPDX-License-Identifier: MIT */
/*
 * What the proofs take for granted.  Frama-C's provers know little of bits, so C's operators are
 * told them as arithmetic; each of these lemmas is checked by bits.sh, under the same name, for
 * all values of 64-bit words, as a formula over bit vectors.  def_...: what 2^k is.
 */
#ifndef TESTS_PROOF_BITS_H
#define TESTS_PROOF_BITS_H

#include <stdint.h>

/*@ axiomatic Pow2 {
      logic integer pow2(integer k);
      axiom def_first: pow2(0) == 1;
      axiom def_next: \forall integer k; 0 <= k ==> pow2(k + 1) == 2 * pow2(k);
      axiom def_more: \forall integer j, k; 0 <= j < k ==> pow2(j) < pow2(k);
      axiom def_31: pow2(31) == 0x80000000;
      axiom def_64: pow2(64) == 0x10000000000000000;
    }
*/

/*@ admit lemma one: \forall integer k; 0 <= k < 64 ==> (1 << k) == pow2(k);
    admit lemma shr: \forall integer x, k; 0 <= x && 0 <= k < 64 ==> (x >> k) == x / pow2(k);
    admit lemma shr_more: \forall integer x, y, k; 0 <= x <= y && 0 <= k < 64 ==>
      (x >> k) <= (y >> k);
    admit lemma shr_less: \forall integer x, k; 0 <= x && 1 <= k < 64 ==> (x >> k) * 2 <= x;
    admit lemma div_more: \forall integer x, y, k; 0 <= x <= y && 0 <= k < 64 ==>
      x / pow2(k) <= y / pow2(k);
    admit lemma flip: \forall integer x, k; 0 <= x && 0 <= k < 64 ==>
      (x ^ (1 << k)) == ((x / pow2(k)) % 2 == 0 ? x + pow2(k) : x - pow2(k));
    admit lemma flip_pair: \forall integer x, k; 0 <= x && 0 <= k < 63 ==>
      (x ^ (1 << k)) / pow2(k + 1) == x / pow2(k + 1);
    admit lemma flip_whole: \forall integer x, k; 0 <= x && 0 <= k < 64 && x % pow2(k) == 0 ==>
      (x ^ (1 << k)) % pow2(k) == 0;
*/

/* The compiler's. */
/*@ requires x != 0;
    assigns \nothing;
    ensures 0 <= \result <= 63 && pow2(63 - \result) <= x < pow2(64 - \result); */
int __builtin_clzll(unsigned long long x);

/*@ requires x != 0;
    assigns \nothing;
    ensures 0 <= \result <= 31 && x % pow2(\result) == 0 && x % pow2(\result + 1) != 0;
    ensures \forall integer k; 0 <= k <= \result ==> x % pow2(k) == 0; */
int __builtin_ctz(unsigned int x);

#endif /* TESTS_PROOF_BITS_H */
