//! Surroundings: what of a PostgreSQL server can change what a request does, beyond what `pins` sets in each session.
//!
//! Neighbours: `kluster_protocol::Fingerprint` says what a difference means; docs/doctor.md explains each item to operators.

use super::connection::NO_PARAMS;
use super::errors;
use super::seat::Seat;
use crate::fault::Fault;
use kluster_protocol::Fingerprint;

/// Name and value of each item, for every version.
const ITEMS: &str = r"
select 'version', (current_setting('server_version_num')::int / 10000)::text
union all select 'version in full', current_setting('server_version')
union all select 'architecture', split_part(substring(version() from ' on (\S+?),? '), '-', 1)
union all select 'encoding', getdatabaseencoding()
-- The database's own collation: the names of these columns differ by version.
union all
select 'database ' || item.key, item.value
from pg_database, lateral jsonb_each_text(to_jsonb(pg_database)) item
where datname = current_database() and item.value is not null
  and item.key in ('datcollate', 'datctype', 'datlocprovider', 'daticulocale', 'datlocale', 'daticurules')
-- The libraries behind collations, as the server finds them now. All collations of a library have its version.
union all
select case collprovider when 'c' then 'collations of libc' else 'collations of ICU' end,
       max(pg_collation_actual_version(oid))
from pg_collation
where collprovider = 'c' and collcollate !~ '^(C|POSIX)(\.|$)' or collprovider = 'i' and collname = 'und-x-icu'
group by collprovider
-- What zones were and will be, asked at fixed instants.
union all
select 'time zones', md5(string_agg(zone || extract(epoch from instant at time zone zone)::bigint, ',' order by zone, instant))
from unnest(array['Europe/Berlin', 'Europe/Istanbul', 'Europe/Moscow', 'America/New_York', 'America/Sao_Paulo',
                  'America/Mexico_City', 'Asia/Tokyo', 'Asia/Tehran', 'Asia/Kolkata', 'Africa/Cairo',
                  'Africa/Casablanca', 'Australia/Sydney', 'Pacific/Apia']) zone,
     generate_series(timestamptz '1950-01-01 00:00:00+00', timestamptz '2030-01-01 00:00:00+00', interval '73 days') instant
union all
select 'names of zone abbreviations', md5(string_agg(distinct abbrev, ',' order by abbrev)) from pg_timezone_abbrevs
union all
select 'setting ' || name, setting from pg_settings
where name in ('block_size', 'max_identifier_length', 'max_index_keys', 'max_function_args', 'gin_fuzzy_search_limit',
               'event_triggers', 'createrole_self_grant', 'allow_system_table_mods')
union all
select 'note: ' || name, setting from pg_settings
where name in ('wal_level', 'fsync', 'full_page_writes', 'data_checksums', 'shared_preload_libraries', 'max_slot_wal_keep_size')
union all
select 'note: timezone_abbreviations', reset_val from pg_settings where name = 'timezone_abbreviations'
";

/// Names of extensions, the version that is installed or would be, and whether it is installed.
const EXTENSIONS: &str = "
select name, coalesce(installed_version, default_version), (installed_version is not null)::text
from pg_available_extensions";

/// What the login of users' SQL may do beyond the tables.
const RIGHTS: &str = "
select concat_ws(', ', case when rolsuper then 'superuser' end, case when rolcreaterole then 'create roles' end,
                 case when rolcreatedb then 'create databases' end, case when rolbypassrls then 'bypass row security' end,
                 case when rolreplication then 'replication' end,
                 case when has_database_privilege(rolname, current_database(), 'create') then 'create schemas' end,
                 case when has_database_privilege(rolname, current_database(), 'temp') then 'temporary tables' end,
                 case when has_schema_privilege(rolname, 'public', 'create') then 'create in public' end)
from pg_roles where rolname = $1::name";

/// Reads the items.
pub async fn read(seat: &mut Seat) -> Result<Fingerprint, Fault> {
    let mut fingerprint = Fingerprint::default();
    let failed = |error| errors::connection_fault(&error);
    for row in seat.owner.query(ITEMS, NO_PARAMS).await.map_err(failed)?.rows {
        if let (Some(name), Some(value)) = (row.text(0), row.text(1)) {
            fingerprint.set(name, value);
        }
    }
    for row in seat.owner.query(EXTENSIONS, NO_PARAMS).await.map_err(failed)?.rows {
        if let (Some(name), Some(version)) = (row.text(0), row.text(1)) {
            fingerprint.set_extension(&name, &version, row.text(2).as_deref() == Some("true"));
        }
    }
    for row in seat.owner.query(RIGHTS, [Some(&seat.logins.app.user)]).await.map_err(failed)?.rows {
        fingerprint.set("rights of the app's login", row.text(0).unwrap_or_default());
    }
    Ok(fingerprint)
}
