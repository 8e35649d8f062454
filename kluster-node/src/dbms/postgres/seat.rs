//! Seat: the owner's session, which holds the lock that keeps a second process away, and the app's session, in which ALL is applied.
//!
//! take: connect as owner ─▶ lock ─▶ end what an earlier process left ─▶ logins, schema, secret ─▶ connect as app
//! regain, after a lost connection: the same without schema and grants; the owner's session and its lock are kept where they live
//!
//! Neighbours: `logins` and `pins` say as whom and how to connect; `schema` is Kluster's own tables.
//! Invariant: when an app session is given out, no earlier one is left in the server, so what its transaction came to is decided.

use super::address::Address;
use super::connection::{Connection, NO_PARAMS};
use super::error::Error;
use super::logins::{Logins, unusable};
use super::pins;
use crate::dbms::{DbmsSettings, OpenError};
use kluster_protocol::MAX_ROW_BYTES;
use std::time::Duration;

/// A server that does not finish a login in this time is as good as unreachable.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A session that was told to end and has not done so by then hangs; somebody must look.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// How often to look whether a session has ended: there is nothing to wait on in all versions.
const END_POLL: Duration = Duration::from_millis(10);
/// The oldest major version with all that is used here.
const OLDEST: u32 = 13;
/// The version of `schema.sql`.
const SCHEMA_VERSION: u32 = 1;
/// The session lock's key: "kluster" in ASCII.
const LOCK_KEY: i64 = 0x006b_6c75_7374_6572;
/// A row of more bytes is more than any record holds: JSON is shorter than PostgreSQL's text only for bytes (2 hexadecimal digits, or 4/3
/// of a base64 digit) and for blanks in JSON.
pub const ROW_LIMIT: usize = 2 * MAX_ROW_BYTES;

/// Both sessions.
#[derive(Debug)]
pub struct Seat {
    /// Kluster's own session.
    pub owner: Connection,
    /// The session in which ALL is applied.
    pub app: Connection,
    /// As whom users' SQL is executed.
    pub logins: Logins,
    /// Known to this process and, as a hash, to our functions.
    pub secret: String,
    /// The server's major version.
    pub version: u32,
    /// The set of abbreviations of time zones in which ALL is applied.
    abbreviations: &'static str,
    /// As whom Kluster's own session logs in.
    pub owner_address: Address,
}

impl Seat {
    /// Takes the database: see the module.
    pub async fn take(settings: &DbmsSettings) -> Result<Self, OpenError> {
        let owner_address = owner_address(settings)?;
        let mut logins = Logins::of(settings, &owner_address)?;
        let mut owner = sit_down(&owner_address).await?;
        let version = check(&mut owner).await?;
        end_sessions(&mut owner, &logins.app.user).await?;
        logins.ensure(&mut owner).await?;
        logins.refresh(&mut owner).await?;
        check_schema(&mut owner).await?;
        owner.execute_script(include_str!("schema.sql")).await.map_err(unusable)?;
        logins.grant(&mut owner).await?;
        let secret = new_secret(&mut owner).await?;
        let abbreviations = abbreviations(&mut owner).await?;
        let mut app = connect(&pins::applying(logins.app.clone(), version, abbreviations)).await.map_err(unusable)?;
        check_app(&mut app).await?;
        Ok(Self { owner, app, logins, secret, version, abbreviations, owner_address })
    }

    /// Connects again after the app's session, or both, were lost or left in an unknown place.
    pub async fn regain(&mut self) -> Result<(), OpenError> {
        let alive = tokio::time::timeout(CONNECT_TIMEOUT, self.owner.query("select 1", NO_PARAMS)).await;
        if !matches!(alive, Ok(Ok(_))) {
            let old = self.owner.process_id();
            let mut owner = connect(&self.owner_address).await.map_err(unusable)?;
            end_session(&mut owner, old).await?;
            lock(&mut owner).await?;
            check(&mut owner).await?;
            self.owner = owner;
        }
        end_sessions(&mut self.owner, &self.logins.app.user).await?;
        self.logins.refresh(&mut self.owner).await?;
        self.secret = new_secret(&mut self.owner).await?;
        self.abbreviations = abbreviations(&mut self.owner).await?;
        let address = pins::applying(self.logins.app.clone(), self.version, self.abbreviations);
        self.app = connect(&address).await.map_err(unusable)?;
        Ok(())
    }

    /// Ends both sessions, and with the owner's the lock.
    pub async fn leave(self) {
        self.app.close().await;
        self.owner.close().await;
    }
}

fn owner_address(settings: &DbmsSettings) -> Result<Address, OpenError> {
    let mut address = Address::parse(&settings.url).map_err(|error| OpenError::Unusable(format!("--dbms: {error}")))?;
    address.application_name = format!("kluster-{}", settings.node_id);
    Ok(pins::owner(address))
}

/// Connects within the time that a login may take.
pub async fn connect(address: &Address) -> Result<Connection, Error> {
    let late = |_| Error::Unreachable {
        place: address.place(),
        source: std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no login within {} s", CONNECT_TIMEOUT.as_secs()),
        ),
    };
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect(address)).await.map_err(late)??;
    connection.set_row_limit(ROW_LIMIT);
    Ok(connection)
}

/// Connects as owner and takes the lock.
async fn sit_down(address: &Address) -> Result<Connection, OpenError> {
    let mut owner = connect(address).await.map_err(unusable)?;
    lock(&mut owner).await?;
    Ok(owner)
}

/// Waits as long as the session's `lock_timeout` for the session of a process just killed to go.
async fn lock(owner: &mut Connection) -> Result<(), OpenError> {
    match owner.query("select pg_catalog.pg_advisory_lock($1::bigint)", [Some(LOCK_KEY.to_string())]).await {
        Err(Error::Server(error)) if error.sqlstate == "55P03" => Err(OpenError::Unusable(
            "another process holds this database: a node is one process; stop the other one".to_owned(),
        )),
        locked => locked.map(|_| ()).map_err(unusable),
    }
}

/// The server is one that can be used; its major version.
async fn check(owner: &mut Connection) -> Result<u32, OpenError> {
    // Only newer versions know these settings, so they cannot be pinned with the login.
    let idle = "select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings where name in ('idle_session_timeout', 'transaction_timeout')";
    owner.query(idle, NO_PARAMS).await.map_err(unusable)?;
    let sql = "select pg_catalog.current_setting('server_version_num')::int / 10000, pg_catalog.pg_is_in_recovery(), \
               pg_catalog.current_setting('server_encoding')";
    let rows = owner.query(sql, NO_PARAMS).await.map_err(unusable)?;
    let cell = |n| rows.rows.first().and_then(|row| row.text(n)).unwrap_or_default();
    let version = cell(0).parse().unwrap_or_default();
    match (version, cell(1).as_ref(), cell(2).as_ref()) {
        (..OLDEST, ..) => {
            Err(OpenError::Unusable(format!("PostgreSQL {version} is too old; {OLDEST} or newer is needed")))
        }
        (_, "t", _) => {
            Err(OpenError::Unusable("the server is a standby and takes no writes; name the primary".to_owned()))
        }
        (.., encoding) if encoding != "UTF8" => {
            Err(OpenError::Unusable(format!("the database's encoding is {encoding}; create it with encoding 'UTF8'")))
        }
        _ => Ok(version),
    }
}

/// The set that fences the clock, if the server has it.
async fn abbreviations(owner: &mut Connection) -> Result<&'static str, OpenError> {
    let set = "select pg_catalog.set_config('timezone_abbreviations', $1, false)";
    match owner.query(set, [Some(pins::CLOCK_FENCE)]).await {
        Ok(_) => Ok(pins::CLOCK_FENCE),
        Err(Error::Server(error)) if error.sqlstate == "22023" => {
            tracing::info!(
                "the server has no set of time zone abbreviations that fences the clock; see docs/sql-rules.md"
            );
            Ok(pins::ABBREVIATIONS)
        }
        Err(error) => Err(unusable(error)),
    }
}

/// What only a superuser may set, and so no login pins, is as it must be on every node: where this login may, `logins` sets it.
async fn check_app(app: &mut Connection) -> Result<(), OpenError> {
    for (name, wanted, why) in pins::SUPERUSERS {
        let rows = app.query("select pg_catalog.current_setting($1)", [Some(*name)]).await.map_err(unusable)?;
        let found = rows.rows.first().and_then(|row| row.text(0)).unwrap_or_default().into_owned();
        if found != *wanted {
            return Err(OpenError::Unusable(format!(
                "{name} is {found} for the login of users' SQL, and {why}; set it to {wanted} (alter role, alter database or postgresql.conf)"
            )));
        }
    }
    Ok(())
}

/// Kluster's own tables are of a version that this program knows, if they are there.
async fn check_schema(owner: &mut Connection) -> Result<(), OpenError> {
    let there = owner
        .query("select pg_catalog.to_regclass('kluster_state.about') is not null", NO_PARAMS)
        .await
        .map_err(unusable)?;
    if there.rows.first().and_then(|row| row.text(0)).as_deref() != Some("t") {
        return Ok(());
    }
    let found = owner
        .query("select value from kluster_state.about where key = 'schema_version'", NO_PARAMS)
        .await
        .map_err(unusable)?;
    let version = found.rows.first().and_then(|row| row.text(0)).and_then(|version| version.parse::<u32>().ok());
    match version {
        None | Some(..=SCHEMA_VERSION) => Ok(()),
        Some(newer) => Err(OpenError::Unusable(format!(
            "Kluster's tables have version {newer} and this kluster-node knows {SCHEMA_VERSION}: a newer one made them; run that one"
        ))),
    }
}

/// A fresh secret, its hash stored: what an earlier process still sends is refused from now on.
async fn new_secret(owner: &mut Connection) -> Result<String, OpenError> {
    let secret = hex::encode(rand::random::<[u8; 32]>());
    let store = "insert into kluster_state.secret (id, hash) values (1, pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8'))) \
                 on conflict (id) do update set hash = excluded.hash";
    owner.query(store, [Some(&secret)]).await.map_err(unusable)?;
    Ok(secret)
}

/// Ends every session of `role` in this database, and waits until they are gone.
async fn end_sessions(owner: &mut Connection, role: &str) -> Result<(), OpenError> {
    let which = "usename = $1::name and datname = pg_catalog.current_database() and pid <> pg_catalog.pg_backend_pid()";
    end_where(owner, which, role).await
}

/// Ends one session, if it is still there.
async fn end_session(owner: &mut Connection, process_id: i32) -> Result<(), OpenError> {
    end_where(
        owner,
        "pid = $1::int and usename = current_user and application_name like 'kluster-%'",
        &process_id.to_string(),
    )
    .await
}

async fn end_where(owner: &mut Connection, which: &str, param: &str) -> Result<(), OpenError> {
    let end =
        format!("select count(pg_catalog.pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity where {which}");
    let left = tokio::time::Instant::now() + END_TIMEOUT;
    loop {
        let rows = owner.query(&end, [Some(param)]).await.map_err(unusable)?;
        if rows.rows.first().and_then(|row| row.text(0)).as_deref() == Some("0") {
            return Ok(());
        }
        if tokio::time::Instant::now() > left {
            let message = "an earlier session of this node does not end; look at it in pg_stat_activity";
            return Err(OpenError::Unreachable(message.to_owned()));
        }
        tokio::time::sleep(END_POLL).await;
    }
}

/// Why the sessions could not be regained.
pub fn fault(error: OpenError) -> crate::fault::Fault {
    use crate::fault::{Cause, Fault};
    match error {
        OpenError::Unreachable(message) => Fault::Lost(Cause::new("connection", message)),
        OpenError::Unusable(message) => Fault::Fatal(Cause::new("unusable", message)),
    }
}
