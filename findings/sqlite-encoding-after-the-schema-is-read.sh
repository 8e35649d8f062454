#!/usr/bin/env bash
# SQLite 3.54.1 (PyPI: apsw 3.54.1.0) and older: a file of UTF-16 whose last table was dropped, and PRAGMA encoding.
#
# Expected: "The encoding of an existing database cannot be changed" (https://www.sqlite.org/pragma.html#pragma_encoding): the pragma does nothing on a
#   file that exists, and a table made behind it can be read by the next connection.
# Seen: where the connection has read the (empty) schema before, PRAGMA encoding = 'UTF-8' is taken although the file's header says UTF-16le. The next
#   table's text is stored as UTF-8, and every later connection reads it as UTF-16: "malformed database schema". Without the read before, all is well.
#
# Prints one line for each order of the statements; fails where what is seen changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" --quiet --disable-pip-version-check install apsw==3.54.1.0
seen=$("$dir/venv/bin/python" - "$dir/file.db" <<'PYTHON'
import os
import sys

import apsw

path = sys.argv[1]
print("SQLite", apsw.sqlite_lib_version())
for read_first in (False, True):
    if os.path.exists(path):
        os.remove(path)
    made = apsw.Connection(path)
    made.execute("pragma encoding = 'UTF-16le'; create table first(x); drop table first")
    made.close()
    second = apsw.Connection(path)
    if read_first:
        second.execute("select count(*) from sqlite_schema").fetchall()
    second.execute("pragma encoding = 'UTF-8'; create table t(name text)")
    second.close()
    try:
        tables = apsw.Connection(path).execute("select name from sqlite_schema").fetchall()
    except apsw.Error as error:
        tables = type(error).__name__
    print("schema read first:" if read_first else "schema not read:", tables)
PYTHON
)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
SQLite 3.54.1
schema not read: [('t',)]
schema read first: CorruptError
EXPECTED
