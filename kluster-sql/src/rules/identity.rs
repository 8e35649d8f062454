//! Numbers that a server makes up, values that belong to one node, and Kluster's own names.

use super::Form::{Call, Checked, Keyword, Name, Phrase, Qualifier, Statement, Type};
use super::Scope::{Everywhere, Ordered, Writes};
use super::{EVERY, MARIADB, POSTGRES, Rule, SERVERS, SQLITE, row};
use crate::refusal::RefusalCode::{AutoId, Environment, KlusterSchema};

const COUNTER: &str = "numbers rows by a counter that a crash or a retry moves on one node only";
const OWN_KEYS: &str = "let the client make the keys (a UUID, say) and bind them as parameters";
const NODE: &str = "has a value of its own on each node";
const IN_READS: &str = "ask for it in a SELECT that writes nothing, and bind what you need of it as a parameter";

pub(super) const RULES: &[Rule] = &[
    row(Type, POSTGRES, Everywhere, AutoId).rule(
        &["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"],
        COUNTER,
        OWN_KEYS,
    ),
    row(Type, MARIADB, Everywhere, AutoId).rule(&["serial"], COUNTER, OWN_KEYS),
    row(Phrase, POSTGRES, Everywhere, AutoId).rule(&["always as identity", "default as identity"], COUNTER, OWN_KEYS),
    row(Keyword, MARIADB, Everywhere, AutoId).rule(&["auto_increment"], COUNTER, OWN_KEYS),
    row(Statement, SERVERS, Everywhere, AutoId).rule(&["create sequence", "alter sequence"], COUNTER, OWN_KEYS),
    row(Call, SERVERS, Everywhere, AutoId).rule(&["nextval", "setval"], COUNTER, OWN_KEYS),
    row(Phrase, MARIADB, Everywhere, AutoId).rule(&["next value for", "previous value for"], COUNTER, OWN_KEYS),
    row(Checked, MARIADB, Everywhere, AutoId).rule(&["sequence ="], "makes the table a sequence", OWN_KEYS),
    row(Name, POSTGRES, Everywhere, KlusterSchema).rule(
        &["kluster_state", "kluster_state_*"],
        "belongs to Kluster",
        "use names of your own; the state of a node is shown by kluster-admin",
    ),
    row(Name, MARIADB, Everywhere, KlusterSchema).rule(
        &["kluster_state", "kluster_state_*"],
        "belongs to Kluster",
        "use names of your own; the state of a node is shown by kluster-admin",
    ),
    row(Name, SQLITE, Everywhere, KlusterSchema).rule(
        &["kluster_*"],
        "belongs to Kluster",
        "use names of your own; the state of a node is shown by kluster-admin",
    ),
    row(Qualifier, SERVERS, Everywhere, KlusterSchema).rule(
        &["kluster"],
        "is a schema of Kluster's own",
        "use a schema with another name",
    ),
    row(Name, POSTGRES, Writes, Environment).rule(
        &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"],
        "is where or when this node stored the row",
        "use the table's key",
    ),
    row(Name, POSTGRES, Writes, Environment).rule(
        &["pg_stat_*", "pg_statio_*", "pg_locks", "pg_settings"],
        "shows what this node has done",
        IN_READS,
    ),
    row(Checked, POSTGRES, Writes, Environment).rule(
        &["::oid", "::xid", "::xid8", "::cid", "::tid"],
        "is a number that each node gives on its own",
        "compare names instead",
    ),
    row(Keyword, POSTGRES, Writes, Environment).rule(
        &["current_user", "session_user", "user", "current_role", "system_user", "current_catalog"],
        NODE,
        IN_READS,
    ),
    row(Call, POSTGRES, Writes, Environment).rule(
        &[
            "version",
            "current_setting",
            "current_database",
            "pg_backend_pid",
            "inet_client_addr",
            "inet_client_port",
            "inet_server_addr",
            "inet_server_port",
            "txid_*",
            "pg_current_xact_id*",
            "pg_current_snapshot",
            "pg_snapshot_*",
            "pg_stat_get_*",
            "pg_relation_size",
            "pg_table_size",
            "pg_total_relation_size",
            "pg_indexes_size",
            "pg_database_size",
            "pg_tablespace_size",
            "pg_column_size",
            "pg_relation_filenode",
            "pg_relation_filepath",
            "pg_postmaster_start_time",
            "pg_conf_load_time",
            "pg_current_wal_*",
            "pg_last_*",
            "pg_is_in_recovery",
            "pg_my_temp_schema",
            "pg_blocking_pids",
            "pg_lock_status",
        ],
        NODE,
        IN_READS,
    ),
    row(Keyword, MARIADB, Writes, Environment).rule(&["current_user", "current_role"], NODE, IN_READS),
    row(Call, MARIADB, Writes, Environment).rule(
        &[
            "connection_id",
            "version",
            "user",
            "session_user",
            "system_user",
            "current_user",
            "current_role",
            "database",
            "schema",
        ],
        NODE,
        IN_READS,
    ),
    row(Checked, MARIADB, Writes, Environment).rule(&["@@name"], "is a setting of one node", IN_READS),
    row(Qualifier, MARIADB, Writes, Environment).rule(
        &["performance_schema", "sys"],
        "shows what this node has done",
        IN_READS,
    ),
    row(Call, SQLITE, Writes, Environment).rule(
        &[
            "sqlite_version",
            "sqlite_source_id",
            "sqlite_compileoption_get",
            "sqlite_compileoption_used",
            "sqlite_offset",
            "sqlite_log",
        ],
        NODE,
        IN_READS,
    ),
    row(Call, POSTGRES, Ordered, Environment).rule(
        &["query_to_xml*", "cursor_to_xml*", "ts_stat", "ts_rewrite"],
        "runs SQL that is hidden in a string",
        "write the query itself",
    ),
    row(Call, EVERY, Everywhere, Environment).rule(
        &["load_extension"],
        "loads code into the server",
        "the operator installs code on all nodes, outside the log",
    ),
];
