# SPDX-License-Identifier: MIT
# Sourced by run.sh: programs whose output must not depend on the malloc.
program 'python3: containers, json, threads' python3 'python3 -c "
import json, hashlib, threading, zlib, re
d = {str(i): [i, str(i) * (i % 50), {\"k\": i}] for i in range(30000)}
s = json.dumps(d, sort_keys=True)
print(len(s), hashlib.sha256(s.encode()).hexdigest(), len(zlib.compress(s.encode())))
print(len(re.findall(r\"[0-9]{4}\", s)), json.loads(s) == d)
out = []
def work(n): out.append(sum(len(x) for x in [str(i) * 3 for i in range(n)]))
t = [threading.Thread(target=work, args=(20000 + i,)) for i in range(6)]
[x.start() for x in t]; [x.join() for x in t]; print(sorted(out))"'
program 'python3: malloc for every object' python3 'PYTHONMALLOC=malloc python3 -c "
import collections
c = collections.Counter(w for i in range(200) for w in (str(j % 977) for j in range(1000)))
print(sorted(c.items())[:20]); print(len([bytearray(i) for i in range(0, 200000, 37)]))"'
program 'python3: its own tests of memory' python3 'python3 -m test -q test_list test_dict \
	test_bytes test_memoryview test_array test_gc 2>&1 | grep -E "Result|OK|run=0|fail"'
program 'gcc: this repository' gcc 'for f in $1/core/virt/*.c $1/core/phys/*.c; do
	gcc -std=gnu11 -O2 -ffreestanding -I$1/include -I$1/core -c -o x.o $f && cksum <x.o; done'
program 'g++: templates' g++ 'printf "#include <map>\n#include <regex>\n#include <iostream>\n
int main() { std::map<std::string,int> m; m[\"a\"]=1; std::regex r(\"a+b\");
std::cout << m.size() << std::regex_match(\"aab\", r) << std::endl; }" >x.cc
	g++ -O1 -o x x.cc && ./x && cksum <x'
program 'clang' clang 'for f in $1/core/base/*.c; do
	clang -std=gnu11 -O2 -ffreestanding -I$1/include -I$1/core -c -o x.o $f && cksum <x.o; done'
program 'perl: hashes and strings' perl 'perl -e "
my %h; \$h{\$_ % 5003} .= \"x\$_\" for 1..200000; my \$n = 0; \$n += length for values %h;
print \"\$n \", scalar(keys %h), \"\n\"; my @s = sort map { \$_ * 7919 % 100003 } 1..50000;
print join(\",\", @s[0..9]), \"\n\";"'
program 'sqlite3: index, join, vacuum' sqlite3 'sqlite3 t.db "
create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<60000)
insert into t select x, hex(x*7919) from c; create index i on t(b);
select count(*), sum(length(b)), min(b), max(b) from t;
select count(*) from t x join t y on x.b = y.b; vacuum; pragma integrity_check;"'
program 'git: commits, log, gc' git 'export GIT_AUTHOR_DATE=2026-01-01T00:00Z HOME=$PWD
	export GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	git init -q . && git config user.email a@b && git config user.name n
	for i in 1 2 3 4 5 6 7 8; do seq $((i * 5000)) >f$i; git add .; git commit -qm "c$i"; done
	git gc -q; git log --stat | cksum; git fsck --full 2>/dev/null; git diff HEAD~3 | cksum'
program 'bash: arrays and substitutions' bash 'bash -c "declare -A h
for ((i = 0; i < 20000; i++)); do h[k\$((i % 300))]+=x; done; echo \${#h[@]} \${#h[k7]}
s=\$(seq 20000); echo \${#s}; printf %s \"\${s//1/one}\" | cksum"'
program 'sort, awk, sed, tar' tar 'seq 300000 | sort -r | tail -3; seq 100000 | awk \
	"{ h[\$1 % 1000] = h[\$1 % 1000] \$1 } END { for (k in h) n += length(h[k]); print n }"
	seq 50000 | sed "s/1/x/g" | cksum; tar -cf - -C $1 core | tar -tf - | sort | cksum'
program 'xz and gzip' xz 'seq 300000 >x; xz -6 -k x; cksum x.xz; xz -dc x.xz | cksum
	gzip -9 -n x; cksum x.gz'
program 'find, grep, diff' grep 'grep -rc static $1/core | sort | cksum
	find $1/include -name "*.h" | sort | xargs wc -l; diff -r $1/core/phys $1/core/virt | wc -l'
program 'make' make 'printf "all: \$(patsubst %%,t%%,\$(shell seq 300))\nt%%: ; @echo \$@\n" >M
	make -s -f M | cksum'
program 'openssl' openssl 'seq 100000 | openssl dgst -sha256; seq 1000 | openssl enc -aes-128-cbc \
	-K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000 | cksum'
program 'xmllint' xmllint '{ echo "<a>"; seq 20000 | sed "s|.*|<b c=\"&\">&</b>|"; echo "</a>"; } >x.xml
	xmllint --xpath "count(//b[@c mod 7 = 0])" x.xml; xmllint --format x.xml | cksum'
program 'node: objects, buffers, workers' node 'node -e "
const m = new Map(); for (let i = 0; i < 100000; i++) m.set(\"k\" + i, { i, b: Buffer.alloc(i % 64) });
let n = 0; for (const [k, v] of m) n += v.b.length; console.log(n, m.size);
const z = require(\"zlib\"); console.log(z.gzipSync(Buffer.alloc(1 << 20, 7)).length);
const { Worker } = require(\"worker_threads\"); let left = 3;
for (let i = 0; i < 3; i++) new Worker(\"require(\\\"worker_threads\\\").parentPort.postMessage(1)\",
  { eval: true }).on(\"message\", () => { if (!--left) console.log(\"workers\"); });"'
program 'java: collections and threads' java 'cat >X.java <<EOF
import java.util.*;
import java.util.stream.*;
public class X { public static void main(String[] a) throws Exception {
 Map<String,Integer> m = new TreeMap<>();
 for (int i = 0; i < 200000; i++) m.merge("k" + i % 5003, i, (x, y) -> x ^ y);
 System.out.println(m.size() + " " + m.values().stream().mapToInt(x -> x).sum());
 System.out.println(IntStream.range(0, 1000000).parallel().filter(x -> x % 7 == 0).count());
}}
EOF
	java -Xmx256m X.java'
program 'redis-server: load and save' redis-server 'redis-server --port 0 --unixsocket $PWD/s \
	--save "" --appendonly no --daemonize no >log 2>&1 & pid=$!
	for i in 1 2 3 4 5 6 7 8 9 10; do [ -S s ] && break; sleep 0.3; done
	seq 20000 | sed "s/.*/SET k& v&/" | redis-cli -s s | sort | uniq -c
	seq 20000 | sed "s/.*/LPUSH l&  a b c/" | sed "s/l\([0-9]\)[0-9]*/l\1/" | redis-cli -s s | tail -1
	redis-cli -s s DBSIZE; redis-cli -s s GET k777; redis-cli -s s LLEN l3
	redis-cli -s s SAVE; redis-cli -s s FLUSHALL; redis-cli -s s DBSIZE
	redis-cli -s s SHUTDOWN NOSAVE; wait $pid; echo $?'
program 'nginx: compressed files' nginx 'mkdir l www; seq 50000 >www/f; cat >c <<EOF
user root; error_log stderr crit; pid $PWD/pid; events {} daemon off; worker_processes 2;
http { access_log off; client_body_temp_path l; proxy_temp_path l; fastcgi_temp_path l;
uwsgi_temp_path l; scgi_temp_path l; gzip on; gzip_types text/plain;
server { listen 127.0.0.1:18734; root www; default_type text/plain; } }
EOF
	chmod -R a+rX . ; nginx -p $PWD -c $PWD/c 2>/dev/null & pid=$!; sleep 1
	for i in 1 2 3 4 5; do curl -s --compressed http://127.0.0.1:18734/f | cksum; done
	kill $pid; wait $pid; echo $?'
program 'ruby: strings, hashes, threads' ruby 'ruby -e "
h = Hash.new { |k, v| k[v] = [] }; 100000.times { |i| h[i % 977] << \"v#{i}\" }
puts h.sum { |k, v| v.join.size }; GC.start
puts (1..4).map { |t| Thread.new { (1..20000).map { |i| i.to_s * t }.sum(&:size) } }.map(&:value).inspect
puts [3, 1, 2].permutation.map(&:join).sort.inspect"'
program 'php: arrays and regular expressions' php 'php -n -r "
\$a = []; for (\$i = 0; \$i < 200000; \$i++) { \$a[\"k\" . (\$i % 5003)][] = str_repeat(\"x\", \$i % 37); }
\$n = 0; foreach (\$a as \$v) \$n += strlen(implode(\$v)); echo \$n, \" \", count(\$a), \"\n\";
echo md5(json_encode(\$a)), preg_match_all(\"/x{7}/\", implode(\"\", \$a[\"k7\"])), \"\n\";"'
program 'gdb: symbols of a program' gdb 'gdb -q -nx -batch -ex "info functions ondol_alloc" \
	$1/build/ondol 2>&1 | cksum'
program 'objdump and ld' objdump 'objdump -dr $1/build/libondol.a | cksum
	ld -r -o x.o --whole-archive $1/build/libondol.a && cksum <x.o'
program 'postgres: a database of its own' psql 'pg=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
	as() { if [ $(id -u) -eq 0 ]; then runuser -u nobody -- "$@"; else "$@"; fi; }
	d=$(mktemp -d); [ $(id -u) -eq 0 ] && chown nobody $d; cd $d; export HOME=$d LC_ALL=C
	as $pg/initdb -D $d/db -A trust -N >$d/log 2>&1 || { tail -3 $d/log; exit 1; }
	as $pg/pg_ctl -D $d/db -w -l $d/db/log -o "-k $d -h \"\" -F" start >/dev/null
	as psql -h $d -At postgres -c "create table t as select x, md5(x::text) as m
	from generate_series(1, 50000) x" -c "create index on t(m)" \
	-c "select count(*), min(a.m), max(b.m) from t a join t b on a.m = b.m" \
	-c "select sum(length(s)) from (select string_agg(m, null) s from t group by x % 97) q"
	as $pg/pg_ctl -D $d/db -w -m fast stop >/dev/null; echo $?; cd /; rm -rf $d'
