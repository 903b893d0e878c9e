-- SPDX-License-Identifier: MIT
PRAGMA journal_mode = wal;
PRAGMA mmap_size = 67108864;
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 50000), i * 0.5 FROM n;
COMMIT;
CREATE INDEX by_name ON t (name);
SELECT count(*), sum(value), max(name) FROM t;
SELECT id, name FROM t WHERE name > 'name 4999' ORDER BY name LIMIT 3;
UPDATE t SET value = value + 1 WHERE id % 10 = 0;
DELETE FROM t WHERE id % 3 = 0;
SELECT count(*), sum(value) FROM t;
SELECT a.id, b.id FROM t a JOIN t b ON a.id = b.id * 2 ORDER BY a.id DESC LIMIT 2;
VACUUM;
PRAGMA wal_checkpoint(TRUNCATE);
PRAGMA integrity_check;
