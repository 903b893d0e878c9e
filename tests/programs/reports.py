#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Ondol says of a run: --json, --stats, --stats-file, and the files of --proc.

JSON goes through a real parser and every key is accounted for; the files of --proc are read as
/proc's are, their sums must agree with each other, and procps reads them too.  TAP."""
import collections, ctypes, json, os, re, subprocess, sys, tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ONDOL = os.environ.get("ONDOL", os.path.join(TOP, "build/ondol"))
LIMIT = 60
failed = 0


def run(options, command):
    """stdout, stderr, status"""
    p = subprocess.run([ONDOL, "run"] + options + ["--"] + command, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
    return p.stdout, p.stderr, p.returncode


def test(name, function, *args):
    global failed
    try:
        why = function(*args)
    except Exception as e:  # a parser that gives up is a failure with a reason
        tb, line = e.__traceback__, 0
        while tb:
            line, tb = tb.tb_lineno, tb.tb_next
        print("not ok - %s\n#   line %d: %s: %s" % (name, line, type(e).__name__, e))
        failed += 1
        return
    print("ok - %s%s" % (name, " # SKIP " + why if why else ""))


def equal(a, b):
    if a != b:
        raise AssertionError("%r != %r" % (a, b))


# ------------------------------------------------------------------ --json

SHAPE = {
    "program": str, "monitor_rss_kib": int, "all_frames_back": bool,
    "machine": "pages nodes cpus page_record_bytes",
    "peak_pages": "used free reserved kernel slab pgtable anon cache",
    "faults": "spurious zero_fill page_cache file_read cow_copy cow_reuse pages refused unmapped "
              "swap_read swap_cache file_refaults file_refaults_near file_refault_distance_sum",
    "buddy": "allocs frees splits merges lazy",
    "swap": "pages peak_used out in cache_hits refaults refault_distance_sum refaults_near errors "
            "zram_peak zram_refused",
    "memcg": "max_pages high_pages current peak high max oom oom_kill held held_us",
    "pressure": "run_us some full",
    "thp": "fault_alloc fault_fallback collapse_alloc splits peak host_blocks",
    "ksm": "full_scans pages_scanned pages_merged cow peak_sharing peak_shared",
    "vma": "peak lookups mmap_cache_hits",
    "host_tlb": "messages fills pages flushes protects evictions holes",
    "numa": "pages_local pages_remote",
    "guest": "execs forks threads memory_calls opens signals oom_kills",
}


def check_json(text):
    """One line, one object, exactly these keys, no negative number; the sums agree."""
    equal(text.count(b"\n"), 1)
    equal(text[-1:], b"\n")
    twice = []

    def pairs(items):
        keys = [k for k, _ in items]
        twice.extend(k for k in keys if keys.count(k) > 1)
        return dict(items)

    r = json.loads(text.decode("utf-8"), object_pairs_hook=pairs)
    equal(twice, [])
    equal(set(r), set(SHAPE))
    for key, shape in SHAPE.items():
        if not isinstance(shape, str):
            equal(type(r[key]), shape)
            continue
        equal(set(r[key]), set(shape.split()))
        for name, value in r[key].items():
            if name == "lazy":
                equal(value, "pcp")
                continue
            if name == "zram_peak":
                equal(set(value), set("pages same_filled bytes bytes_used".split()))
                assert all(type(v) == int and v >= 0 for v in value.values()), value
                continue
            if name in ("max_pages", "high_pages") and value is None:
                continue
            if name in ("some", "full"):
                equal(set(value), set("avg10 avg60 avg300 total_us".split()))
                assert all(0 <= value[a] <= 100 for a in ("avg10", "avg60", "avg300")), value
                value = value["total_us"]
            equal((key, name, type(value)), (key, name, int))
            assert value >= 0, (key, name, value)
    peak = dict(r["peak_pages"])
    used = peak.pop("used")
    equal(sum(peak.values()), r["machine"]["pages"])
    equal(used, r["machine"]["pages"] - peak["free"])
    assert r["buddy"]["allocs"] >= r["buddy"]["frees"] > 0
    assert r["vma"]["lookups"] >= r["vma"]["mmap_cache_hits"]
    assert r["host_tlb"]["pages"] >= r["host_tlb"]["fills"] > 0
    assert r["monitor_rss_kib"] > 0
    p = r["pressure"]
    assert p["full"]["total_us"] <= p["some"]["total_us"] <= p["run_us"], p
    equal(r["all_frames_back"], True)
    return r


FORKS = "import os\nfor i in range(3):\n pid = os.fork()\n if not pid: os._exit(0)\n os.wait()"


def json_of_a_run():
    out, err, status = run(["--json", "--nodes", "2", "--cpus", "3", "--mem", "96M"],
                           [sys.executable, "-c", FORKS])
    equal((out, status), (b"", 0))
    r = check_json(err)
    equal(r["program"], sys.executable)
    equal((r["machine"]["nodes"], r["machine"]["cpus"]), (2, 3))
    equal(r["machine"]["pages"], 96 * 256)
    assert r["machine"]["page_record_bytes"] <= 32
    equal((r["guest"]["execs"], r["guest"]["forks"]), (1, 3))
    equal((r["guest"]["oom_kills"], r["faults"]["refused"]), (0, 0))
    equal(sum(v for k, v in r["faults"].items() if k not in ("pages", "refused")) <=
          r["faults"]["pages"] + r["faults"]["cow_reuse"] + r["faults"]["spurious"], True)


def json_one_page_a_fault():
    """A4: with --fault-around 1 a fault that fills populates one page."""
    _, err, _ = run(["--json", "--fault-around", "1"], ["/bin/true"])
    r = check_json(err)
    kinds = r["faults"]
    equal(kinds["pages"], kinds["zero_fill"] + kinds["page_cache"] + kinds["file_read"] +
          kinds["cow_copy"] + kinds["cow_reuse"])


def heap_comes_with_the_call():
    """A heap touched to its end that grows: one message a step, where faults would be two more."""
    program = os.path.join(TOP, os.environ.get("B", "build"), "tests/programs/heap_steps")
    steps, messages = 40, {}
    for options in [], ["--fault-around", "64"]:
        out, err, status = run(["--json"] + options, [program])
        equal((out, status), (b"%d steps\n" % steps, 0))
        seen = json.loads(err.decode())
        messages[len(options)] = seen["host_tlb"]["messages"]
        assert seen["faults"]["pages"] >= 33 * steps, seen
    assert messages[0] + steps - 2 <= messages[2], messages


def host_collapses():
    """Whether the host makes a block of 2 MiB out of a memory file's pages when asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    fd = os.memfd_create("probe")
    os.ftruncate(fd, 2 << 20)
    room = libc.mmap(None, ctypes.c_size_t(4 << 20), 3, 0x22, -1, ctypes.c_long(0))
    at = (room + (2 << 20) - 1) & -(2 << 20)
    libc.mmap(ctypes.c_void_p(at), ctypes.c_size_t(2 << 20), 3, 0x11, fd, ctypes.c_long(0))
    ctypes.memset(at, 1, 1)
    r = libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(2 << 20), 25)
    os.close(fd)
    return r == 0


TOUCH = "b = bytearray(32 << 20)\nprint(sum(b[::4096]), flush=True)"


def ram_in_blocks():
    """The host's blocks: for who uses much, and never needed."""
    def blocks(forbid):
        def before():
            if forbid:  # PR_SET_THP_DISABLE
                assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0
        p = subprocess.run([ONDOL, "run", "--json", "--", sys.executable, "-S", "-c", TOUCH],
                           capture_output=True, timeout=60, preexec_fn=before)
        equal((p.stdout, p.returncode), (b"0\n", 0))
        return check_json(p.stderr)["thp"]["host_blocks"]

    equal(blocks(True), 0)
    had = blocks(False)
    if not host_collapses():
        return "the host makes no blocks of 2 MiB"
    if not had and os.getloadavg()[0] > 1.9 * os.cpu_count():
        return "the host is busy, and then it is not asked for blocks"
    assert had, had  # as many as the host is quick to give


def json_of_odd_names():
    for name in (b'quote" back\\slash', b"new\nline \x01\x7f", "온돌".encode(), b"\xff\xfe \xc3",
                 b"\xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf"):
        path = name
        os.symlink("/bin/true", path)
        _, err, status = run(["--json"], [b"./" + path])
        equal(status, 0)
        r = check_json(err)
        equal(r["program"], "./" + expected_name(name))
        os.unlink(path)


def expected_name(name):
    """What is no UTF-8 is shown byte by byte as U+FFFD."""
    text, at = "", 0
    while at < len(name):
        for n in (1, 2, 3, 4):
            try:
                text += name[at:at + n].decode("utf-8")
                at += n
                break
            except UnicodeDecodeError:
                continue
        else:
            text += "\ufffd"
            at += 1
    return text


def json_of_a_failure():
    out, err, status = run(["--json"], ["/bin/sh", "-c", "echo out; exit 3"])
    equal((out, status), (b"out\n", 3))
    check_json(err)
    _, err, status = run(["--json"], ["/bin/sh", "-c", "kill -TERM $$"])
    equal(status, -15)
    check_json(err)


def stats_file():
    out, err, status = run(["--json", "--stats-file", "report"], ["/bin/sh", "-c", "echo hi >&2"])
    equal((out, err, status), (b"", b"hi\n", 0))
    with open("report", "rb") as f:
        check_json(f.read())
    # A second run replaces it, and text is text.
    out, err, status = run(["--stats-file", "report"], ["/bin/true"])
    equal((out, err, status), (b"", b"", 0))
    with open("report", "rb") as f:
        check_text(f.read().decode())


def check_text(text):
    """Each line once, in order, and no number without its name."""
    lines = text.rstrip("\n").split("\n")
    assert re.fullmatch(r"ondol: what \S+ did with memory", lines[0]), lines[0]
    names = [l[2:14].strip() for l in lines[1:]]
    equal(names, ["machine", "peak", "itself", "host RAM", "faults", "", "buddy", "regions",
                  "host TLB", "program", "at the end"])
    faults = re.fullmatch(r"  faults      (\d+): zero-fill (\d+), page cache (\d+), "
                          r"file read (\d+), COW copy (\d+), COW reuse (\d+), spurious (\d+)",
                          lines[5])
    assert faults, lines[5]
    numbers = [int(n) for n in faults.groups()]
    equal(numbers[0], sum(numbers[1:]))
    assert numbers[0] > 0
    equal(lines[-1], "  at the end  every frame is back")


def stats():
    _, err, status = run(["--stats"], ["/bin/true"])
    equal(status, 0)
    check_text(err.decode())


# ------------------------------------------------------------------ --proc

def read(name):
    with open(os.path.join("out", name)) as f:
        return f.read()


def meminfo():
    found = re.findall(r"^(\S+): +(\d+)(?: kB)?$", read("meminfo"), re.M)
    equal(len(found), read("meminfo").count("\n"))
    equal(len(dict(found)), len(found))
    return {k: int(v) for k, v in found}


def vmstat():
    found = re.findall(r"^(\w+) (\d+)$", read("vmstat"), re.M)
    equal(len(found), read("vmstat").count("\n"))
    equal(len(dict(found)), len(found))
    return {k: int(v) for k, v in found}


def zones():
    """(node, zone) -> {field: number}"""
    z = collections.OrderedDict()
    for line in read("zoneinfo").split("\n"):
        head = re.fullmatch(r"Node (\d+), zone +(\w+)", line)
        field = re.fullmatch(r" +(?:pages )?(\w+):? +(\d+)", line)
        if head:
            at = z.setdefault((int(head[1]), head[2]), {})
        elif field:
            at.setdefault(field[1], int(field[2]))
    return z


def buddies():
    """(node, zone) -> free pages"""
    b = collections.OrderedDict()
    for line in read("buddyinfo").split("\n")[:-1]:
        m = re.fullmatch(r"Node (\d+), zone +(\w+)((?: +\d+)+) ", line)
        assert m, line
        counts = [int(n) for n in m[3].split()]
        equal(len(counts), 11)  # D3
        b[(int(m[1]), m[2])] = sum(n << order for order, n in enumerate(counts))
    return b


def slabs():
    lines = read("slabinfo").split("\n")
    equal(lines[0], "slabinfo - version: 2.1")
    assert lines[1].startswith("# name "), lines[1]
    s = {}
    for line in lines[2:-1]:
        m = re.fullmatch(r"(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) : tunables +\d+ +\d+ +\d+ : "
                         r"slabdata +(\d+) +(\d+) +(\d+)", line)
        assert m, line
        active, num, size, per, pages, active_slabs, nr_slabs, _ = map(int, m.groups()[1:])
        assert active <= num and active_slabs <= nr_slabs and m[1] not in s, line
        equal(num, nr_slabs * per)
        assert per * size <= pages * 4096, line
        s[m[1]] = (active, nr_slabs * pages)
    return s


def frames_agree():
    """C5 and its like: one number, whichever file tells it."""
    mem, vm, z, b = meminfo(), vmstat(), zones(), buddies()
    populated = {k: v for k, v in z.items() if v["present"]}
    equal(set(b), set(populated))
    for name, zone in populated.items():
        assert zone["spanned"] >= zone["present"] >= zone["managed"] >= zone["free"], name
        equal((name, b[name]), (name, zone["free"]))
        assert zone["min"] <= zone["low"] <= zone["high"], name
    equal({node for node, _ in populated}, {0, 1})
    equal(sum(v["present"] for v in populated.values()), 64 * 256)
    equal(sum(v["managed"] for v in populated.values()) * 4, mem["MemTotal"])
    equal(sum(b.values()) * 4, mem["MemFree"])
    equal(sum(b.values()), vm["nr_free_pages"])
    equal(mem["Cached"], (vm["nr_file_pages"]) * 4)
    equal(mem["Slab"], mem["SReclaimable"] + mem["SUnreclaim"])
    equal(mem["Slab"], (vm["nr_slab_reclaimable"] + vm["nr_slab_unreclaimable"]) * 4)
    equal(mem["Active"] + mem["Inactive"], mem["Cached"] + mem["AnonPages"])
    accounted = mem["MemFree"] + mem["Cached"] + mem["AnonPages"] + mem["Slab"] + mem["PageTables"]
    assert accounted <= mem["MemTotal"] <= accounted + 1024, (accounted, mem["MemTotal"])
    assert mem["MemFree"] <= mem["MemTotal"] and mem["MemAvailable"] <= mem["MemTotal"]
    # G10: every program has ended.
    equal((mem["AnonPages"], mem["PageTables"], mem["Mapped"], mem["Committed_AS"]), (0, 0, 0, 0))


def slabs_agree():
    mem, s = meminfo(), slabs()
    equal(sum(pages for _, pages in s.values()) * 4, mem["Slab"])
    for name in ("mm_struct", "vm_area_struct", "task_struct"):
        equal((name, s[name][0]), (name, 0))
        assert s[name][1] > 0, name  # they were of use


def maps_of(text):
    regions, last = [], 0
    for line in text.split("\n")[:-1]:
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) [r-][w-][x-][ps] [0-9a-f]{8,} [0-9a-f]+:[0-9a-f]+ "
                     r"\d+", line)
        assert m, line
        start, end = int(m[1], 16), int(m[2], 16)
        assert last <= start < end and start % 4096 == end % 4096 == 0, line
        regions.append((line, end - start))
        last = end
    return regions


def tasks_agree():
    folders = sorted(d for d in os.listdir("out") if os.path.isdir(os.path.join("out", d)))
    names = [d.split("-", 1)[1] for d in folders]
    assert names.count("ls") == 1 and names.count("sort") == 1 and names.count("sh") >= 1, names
    for d in folders:
        regions = maps_of(read(d + "/maps"))
        smaps = read(d + "/smaps")
        equal([l for l in smaps.split("\n") if re.match("[0-9a-f]+-[0-9a-f]+ ", l)],
              [line for line, _ in regions])
        sums = collections.Counter()
        for key, kib in re.findall(r"^(\w+): +(\d+) kB$", smaps, re.M):
            sums[key] += int(kib)
        statm = [int(n) for n in read(d + "/statm").split()]
        status = {k: int(v) for k, v in re.findall(r"^(\w+):\s+(\d+) kB$", read(d + "/status"),
                                                   re.M)}
        equal(len(statm), 7)
        # The vdso and its like have no frames of Ondol's but are mapped.
        equal(sums["Size"], sum(size for _, size in regions) // 1024)
        equal(statm[0] * 4, status["VmSize"])
        equal(sums["Size"], status["VmSize"])
        equal(sums["Rss"], status["VmRSS"])
        equal(statm[1] * 4, status["VmRSS"])
        equal(status["RssAnon"] + status["RssFile"] + status["RssShmem"], status["VmRSS"])
        equal(sums["Anonymous"], status["RssAnon"])
        equal(sums["Rss"], sum(sums[k] for k in ("Shared_Clean", "Shared_Dirty", "Private_Clean",
                                                 "Private_Dirty")))
        assert sums["Pss"] <= sums["Rss"] and status["VmHWM"] >= status["VmRSS"], d
        assert status["VmPeak"] >= status["VmSize"] and status["VmPTE"] > 0, d


def procps(command, file, check):
    """An unmodified tool, with our file in the place of the host's."""
    script = 'mount --bind "out/%s" /proc/%s && exec %s' % (file, file, command)
    bind = "mount --bind out/%s /proc/%s" % (file, file)
    if subprocess.run(["sh", "-c", "command -v %s && unshare -m sh -c '%s'" %
                       (command.split()[0], bind)], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode:
        return "needs procps, and root to put a file in the place of /proc/" + file
    p = subprocess.run(["unshare", "-m", "sh", "-c", script], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT)
    equal((p.returncode, command), (0, command))
    check(p.stdout.decode())


def free_agrees(text):
    mem = meminfo()
    row = [int(n) for n in re.search(r"^Mem:(.*)$", text, re.M)[1].split()]
    equal((row[0], row[2]), (mem["MemTotal"], mem["MemFree"]))
    equal(row[4], mem["Buffers"] + mem["Cached"] + mem["SReclaimable"])
    equal(row[5], mem["MemAvailable"])


def vmstat_agrees(text):
    equal(int(re.search(r"^ *(\d+) K total memory$", text, re.M)[1]), meminfo()["MemTotal"])
    equal(int(re.search(r"^ *(\d+) K free memory$", text, re.M)[1]), meminfo()["MemFree"])


def slabtop_agrees(text):
    rows = re.findall(r"^ *(\d+) +(\d+) +\d+% +\S+ +(\d+) +(\d+) +\d+K (\S+)", text, re.M)
    s = slabs()
    assert len(rows) >= 5, text
    for objects, active, nr_slabs, per, name in rows:
        equal((name, int(active)), (name, s[name][0]))
        equal(int(objects), int(nr_slabs) * int(per))


def main():
    why = subprocess.run([ONDOL, "run", "--", "/bin/true"], stderr=subprocess.PIPE, timeout=LIMIT)
    if why.returncode == 125:
        print("ok - reports # SKIP", why.stderr.decode().split("\n")[0])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["LC_ALL"] = "C"
        test("--json: keys, types, sums", json_of_a_run)
        test("--json: one page a fault (A4)", json_one_page_a_fault)
        test("RAM in blocks of the host's", ram_in_blocks)
        test("heap_steps: what brk adds is mapped with the call", heap_comes_with_the_call)
        test("--json: odd names", json_of_odd_names)
        test("--json: of programs that fail", json_of_a_failure)
        test("--stats", stats)
        test("--stats-file", stats_file)
        out, err, status = run(["--proc", "out", "--nodes", "2", "--mem", "64M"],
                               ["/bin/sh", "-c", "ls / | sort >/dev/null; (exit 3)"])
        test("--proc is silent", lambda: equal((out, err, status), (b"", b"", 3)))
        test("--proc: zones, buddies, meminfo, vmstat (C5, G10)", frames_agree)
        test("--proc: slabinfo", slabs_agree)
        test("--proc: maps, smaps, statm, status of each", tasks_agree)
        test("free reads it", procps, "free -k", "meminfo", free_agrees)
        test("vmstat reads it", procps, "vmstat -s", "meminfo", vmstat_agrees)
        test("slabtop reads it", procps, "slabtop -o", "slabinfo", slabtop_agrees)
        os.chdir("/")
    return failed != 0


sys.exit(main())
