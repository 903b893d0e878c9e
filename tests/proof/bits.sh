#!/bin/sh
# SPDX-License-Identifier: MIT
# The lemmas of bits.h, and what the core's masks do, for all values of 64-bit words: z3 looks for
# one that breaks the formula.  K is each number of bits in turn and D is 2^K; where the lemma has
# no upper limit, words stand for those numbers that fit.
n=0
header='(set-logic QF_BV)
(declare-const x (_ BitVec 64)) (declare-const y (_ BitVec 64))
(define-fun quo ((a (_ BitVec 64)) (d (_ BitVec 64))) (_ BitVec 64) (bvudiv a d))
(define-fun rem ((a (_ BitVec 64)) (d (_ BitVec 64))) (_ BitVec 64) (bvurem a d))'

# name, first K, last K, premise, formula; %K, %D, %E: K, 2^K, 2^(K + 1) as words.
ask() {
	k=$2
	echo "$header"
	while [ "$k" -le "$3" ]; do
		d=$(printf '#x%016x' $((1 << k)))
		e=$(printf '#x%016x' $((1 << (k + 1))))
		printf '(push)(assert (and %s (not %s)))(check-sat)(pop)\n' "$4" "$5" |
			sed "s/%K/(_ bv$k 64)/g; s/%D/$d/g; s/%E/$e/g"
		k=$((k + 1))
	done
}
holds() {
	n=$((n + 1))
	answers=$(ask "$@" | timeout 300 z3 -in | sort | uniq -c | awk '{ print $2, $1 }')
	if [ "$answers" = "unsat $(($3 - $2 + 1))" ]; then
		echo "ok $n - $1, K from $2 to $3"
	else
		echo "not ok $n - $1: $answers"
	fi
}
fails() { # the same, of what is not so: z3 must find it
	n=$((n + 1))
	if ask "$@" | timeout 300 z3 -in | grep -q '^sat'; then
		echo "ok $n - not so: $1"
	else
		echo "not ok $n - z3 agrees that $1"
	fi
}

one='#x0000000000000001'
holds one 0 63 true "(= (bvshl $one %K) %D)"
holds shr 0 63 true '(= (bvlshr x %K) (quo x %D))'
holds shr_more 0 63 '(bvule x y)' '(bvule (bvlshr x %K) (bvlshr y %K))'
holds shr_less 1 63 true '(and (bvule (bvlshr x %K) #x7fffffffffffffff)
	(bvule (bvshl (bvlshr x %K) #x0000000000000001) x))'
holds div_more 0 63 '(bvule x y)' '(bvule (quo x %D) (quo y %D))'
flip='(bvxor x (bvshl #x0000000000000001 %K))'
holds flip 0 62 true "(= $flip (ite (= (rem (quo x %D) #x0000000000000002) #x0000000000000000)
	(bvadd x %D) (bvsub x %D)))"
holds flip_pair 0 61 true "(= (quo $flip %E) (quo x %E))"
holds flip_whole 0 62 '(= (rem x %D) #x0000000000000000)' "(= (rem $flip %D) #x0000000000000000)"

# align_up and align_down of core/base/math.h, to a multiple of D; y is what comes out.
down='(= y (bvand x (bvnot (bvsub %D #x0000000000000001))))'
holds align_down 0 62 "$down" '(and (bvule y x) (bvult (bvsub x y) %D)
	(= (rem y %D) #x0000000000000000))'
up='(= y (bvand (bvsub (bvadd x %D) #x0000000000000001) (bvnot (bvsub %D #x0000000000000001))))'
holds align_up 0 62 "(and $up (bvult x (bvsub #x0000000000000000 %D)))" \
	'(and (bvuge y x) (bvult (bvsub y x) %D) (= (rem y %D) #x0000000000000000))'
fails 'align_up never overflows' 1 1 "$up" '(bvuge y x)'
fails 'buddies of all blocks are above them' 3 3 true "(bvuge $flip x)"

n=$((n + 1))
for lemma in $(sed -n 's/.*admit lemma \([a-z_]*\):.*/\1/p' "$(dirname "$0")/bits.h"); do
	grep -q "^holds $lemma " "$0" || echo "# nothing checks $lemma"
done | grep . && echo "not ok $n - every lemma is checked" || echo "ok $n - every lemma is checked"
