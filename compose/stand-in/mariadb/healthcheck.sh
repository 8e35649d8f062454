#!/usr/bin/env bash
# The two checks of the image's own healthcheck.sh that compose/ asks for: --connect --innodb_initialized.
set -euo pipefail
mariadb --defaults-extra-file=/var/lib/mysql/.my-healthcheck.cnf -N -e \
    "select 1 from information_schema.engines where engine = 'InnoDB' and support in ('YES', 'DEFAULT')" | grep -q 1
