//! Surroundings: what of a MariaDB server can change what a request does, beyond what `settings` sets in each session.
//!
//! Neighbours: `kluster_protocol::Fingerprint` says what a difference means; docs/doctor.md explains each item to operators.

use super::names::Names;
use super::owner::Owner;
use super::session::{Session, params};
use kluster_protocol::Fingerprint;
use sqlx::Row;

/// Settings of the whole server that decide results, limits or names.
const SETTINGS: &[&str] = &[
    "lower_case_table_names",
    "innodb_page_size",
    "innodb_default_row_format",
    "innodb_compression_algorithm",
    "innodb_ft_min_token_size",
    "innodb_ft_max_token_size",
    "innodb_ft_enable_stopword",
    "innodb_ft_server_stopword_table",
    "max_allowed_packet",
    "thread_stack",
    "max_error_count",
    "column_compression_threshold",
    "optimizer_max_sel_arg_weight",
];

/// Settings that only people read.
const NOTES: &[&str] =
    &["log_bin", "binlog_format", "binlog_row_image", "event_scheduler", "innodb_flush_log_at_trx_commit"];

/// What zones were and will be, asked at fixed instants; a server without tables of zones answers nothing.
const ZONES: &str = "
with recursive days as (select cast('1971-01-15' as date) day union all select day + interval 97 day from days where day < '2030-01-01')
select coalesce(md5(group_concat(convert_tz(cast(day as datetime), '+00:00', zone) order by zone, day)), 'no tables of zones')
from days, (select 'Europe/Berlin' zone union select 'Europe/Moscow' union select 'America/New_York' union select 'America/Sao_Paulo'
            union select 'Asia/Tokyo' union select 'Asia/Tehran' union select 'Africa/Cairo' union select 'Australia/Sydney'
            union select 'Pacific/Apia') zones";

/// Reads the items; `app` is the login of users' SQL.
pub async fn read(owner: &mut Owner, names: &Names, app: &str) -> Result<Fingerprint, sqlx::Error> {
    let (session, version) = (&mut owner.session, owner.version.as_str());
    let mut fingerprint = Fingerprint::default();
    fingerprint.set(Fingerprint::VERSION, version.split('.').take(2).collect::<Vec<_>>().join("."));
    fingerprint.set(Fingerprint::FULL_VERSION, version);
    let machine = session.one("select cast(@@version_compile_machine as char)", params![]).await?;
    fingerprint.set("architecture", machine.try_get::<String, _>(0)?);
    let variables = session
        .rows("select lower(variable_name), coalesce(global_value, session_value, '') from information_schema.system_variables", params![])
        .await?;
    for row in variables {
        let (name, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        match name.as_str() {
            name if SETTINGS.contains(&name) => fingerprint.set(format!("setting {name}"), value),
            name if NOTES.contains(&name) => fingerprint.set(format!("{}{name}", Fingerprint::NOTE), value),
            _ => {}
        }
    }
    let database = "select default_character_set_name, default_collation_name from information_schema.schemata where schema_name = ?";
    for row in session.rows(database, params![names.database.as_str()]).await? {
        fingerprint.set("database character set", row.try_get::<String, _>(0)?);
        fingerprint.set("database collation", row.try_get::<String, _>(1)?);
    }
    fingerprint.set("time zones", session.one(ZONES, params![]).await?.try_get::<String, _>(0)?);
    let plugins = "select plugin_name, plugin_version from information_schema.plugins \
                   where plugin_status = 'ACTIVE' and plugin_type in ('STORAGE ENGINE', 'DATA TYPE', 'FUNCTION', 'FTPARSER')";
    for row in session.rows(plugins, params![]).await? {
        fingerprint.set_extension(&row.try_get::<String, _>(0)?, &row.try_get::<String, _>(1)?, true);
    }
    let functions = "select name, dl from mysql.func order by 1";
    for row in session.rows(functions, params![]).await.unwrap_or_default() {
        fingerprint.set(format!("loaded function {}", row.try_get::<String, _>(0)?), row.try_get::<String, _>(1)?);
    }
    fingerprint.set("rights of the app's login", rights(session, app).await?);
    Ok(fingerprint)
}

/// What the login of users' SQL may do on the whole server.
async fn rights(session: &mut Session, user: &str) -> Result<String, sqlx::Error> {
    let sql = "select coalesce(group_concat(privilege_type order by privilege_type separator ', '), '') \
               from information_schema.user_privileges where grantee like concat('\\'', ?, '\\'@%')";
    session.one(sql, params![user]).await?.try_get(0)
}
