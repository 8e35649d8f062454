//! Owner: the session of the owner's login. It makes Kluster's own database and accounts, holds the session lock that keeps a second
//! process away, and reads the state.
//!
//! Neighbours: [`super::schema`] says what is made, [`super::accounts`] makes the logins for user SQL.
//! Invariant: nothing is changed on the server before the lock is held.

use super::address::Address;
use super::binlog::{self, Computed, Logging};
use super::names::{Names, identifier};
use super::orphans;
use super::schema;
use super::server::{self, unusable};
use super::session::{Session, params};
use super::settings::{COLLATION, For, Settings};
use crate::dbms::{OpenError, OutcomeRow, StateRow};
use kluster_protocol::Offset;
use rand::Rng;
use sha2::{Digest, Sha256};
use sqlx::Row;
use std::collections::HashSet;

/// For how long the lock is waited for: the session of a killed process may linger.
const LOCK_WAIT_SECONDS: u32 = 5;

/// The owner's session, the lock held.
#[derive(Debug)]
pub struct Owner {
    pub(super) session: Session,
    names: Names,
    /// The server's version in its own words.
    pub version: String,
    /// The server's session variables, lower case.
    pub known: HashSet<String>,
    /// What our procedures want to see; only its hash is in the database.
    pub secret: String,
    /// The procedure sets the engine in the sessions of user SQL; else the server does.
    pub enforces_engine: bool,
    /// What the server's binary log can be used for.
    pub logging: Logging,
}

impl Owner {
    /// Logs in, takes the lock, makes or migrates Kluster's own database and puts a fresh secret into it. `previous`: the session that
    /// this process had before, which may still hold the lock.
    pub async fn enter(address: &Address, node_id: &str, previous: Option<u64>) -> Result<Self, OpenError> {
        let names = &address.names;
        let login = address.login.clone().database("information_schema");
        let mut session = Session::open(&login, &Settings::none()).await.map_err(|e| address.refused("log in", e))?;
        let (version, known) =
            server::known(&mut session).await.map_err(|e| address.refused("ask for its version", e))?;
        server::supported(&version)?;
        for sql in Settings::of(For::Owner, &known, names).statements() {
            session.run(sql.clone()).await.map_err(|e| address.refused("set session variables", e))?;
        }
        server::check(&mut session).await?;
        lock(&mut session, address, previous).await?;
        let enforces_engine = server::can_enforce_engine(&mut session, address).await?;
        let logging = binlog::logging(&mut session, names).await.map_err(|e| unusable("ask for its binary log", e))?;
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let secret = hex::encode(secret);
        let mut owner = Self { session, names: names.clone(), version, known, secret, enforces_engine, logging };
        owner.prepare_databases().await.map_err(|e| address.refused("make Kluster's own database", e))?;
        server::check_tables(&mut owner.session, names).await?;
        owner.take_over(node_id).await?;
        Ok(owner)
    }

    async fn prepare_databases(&mut self) -> Result<(), sqlx::Error> {
        let database = identifier(&self.names.database);
        let default = "select default_collation_name from information_schema.schemata where schema_name = ?";
        let collation = self.session.rows(default, params![self.names.database.as_str()]).await?;
        let collation = collation.first().map(|row| row.try_get::<String, _>(0)).transpose()?;
        let defaults = format!("character set utf8mb4 collate {COLLATION}");
        match collation {
            None => self.session.run(format!("create database {database} {defaults}")).await?,
            Some(collation) if collation != COLLATION => {
                // A new table must have the same collation on every node, whatever each server's default was.
                self.session.run(format!("alter database {database} {defaults}")).await?;
            }
            Some(_) => {}
        }
        let making = schema::making(&self.names);
        if self.made().await? != Some(making.made) {
            // A session of before may hold what is made anew. Without the right to end it we wait for it.
            let _ = orphans::kill(&mut self.session, &self.names.app, &self.names.database).await;
            for sql in making.statements {
                self.session.run(sql).await?;
            }
        }
        // Needed later for fingerprints: found missing now, not in the middle of a DDL.
        self.session.run("select 1 from information_schema.innodb_sys_tables limit 1").await
    }

    /// What the state database was made by; none: it was not, or not whole, or by another account (a dump may leave out routines).
    async fn made(&mut self) -> Result<Option<String>, sqlx::Error> {
        let routines =
            "select count(*) from information_schema.routines where routine_schema = ? and definer = current_user()";
        let routines = self.session.one(routines, params![self.names.state.as_str()]).await?;
        if routines.try_get::<i64, _>(0)? < schema::PROCEDURES {
            return Ok(None);
        }
        let rows = self.session.rows(format!("select made from {}", self.names.own("version")), params![]).await?;
        rows.first().map(|row| row.try_get(0)).transpose()
    }

    /// Puts this process's secret into the database, unless it is another node's.
    async fn take_over(&mut self, node_id: &str) -> Result<(), OpenError> {
        let other = self.other_node(node_id).await.map_err(|e| unusable("read the state", e))?;
        if let Some(other) = other {
            return Err(OpenError::Unusable(format!(
                "database {:?} belongs to node {other:?} and this is {node_id:?}; name that node's own database, or, if this node \
                 replaces it for ever, run: delete from {}",
                self.names.database,
                self.names.own("process")
            )));
        }
        self.write_secret(node_id).await.map_err(|e| unusable("write the state", e))
    }

    async fn other_node(&mut self, node_id: &str) -> Result<Option<String>, sqlx::Error> {
        let sql = format!(
            "select node_id from {} where node_id <> ? and exists (select 1 from {} where applied is not null)",
            self.names.own("process"),
            self.names.own("state")
        );
        let rows = self.session.rows(sql, params![node_id]).await?;
        rows.first().map(|row| row.try_get(0)).transpose()
    }

    async fn write_secret(&mut self, node_id: &str) -> Result<(), sqlx::Error> {
        let sql = format!("replace into {} values (1, ?, ?)", self.names.own("process"));
        let hash = hex::encode(Sha256::digest(&self.secret));
        self.session.rows(sql, params![hash, node_id]).await.map(|_| ())
    }

    /// The state row; none: nothing was ever applied.
    pub async fn state(&mut self) -> Result<Option<StateRow>, sqlx::Error> {
        let sql = format!("select applied, state from {} where id = 1", self.names.own("state"));
        state_row(&self.session.one(sql, params![]).await?)
    }

    /// Where the follower of the binary log was, as the last claim wrote it.
    pub async fn followed(&mut self) -> Result<Option<String>, sqlx::Error> {
        let sql = format!("select followed from {} where id = 1", self.names.own("batch"));
        self.session.one(sql, params![]).await?.try_get(0)
    }

    /// The columns of the user's database that no digest of a row holds.
    pub async fn computed(&mut self) -> Result<Computed, sqlx::Error> {
        Computed::of(&mut self.session, &self.names.database).await
    }

    /// Outcome rows whose last offset is at least `from`, in order. Batches do not overlap, so the order of last is that of first.
    pub async fn outcome_rows(&mut self, from: Offset, limit: usize) -> Result<Vec<OutcomeRow>, sqlx::Error> {
        let sql = format!(
            "select `first`, `last`, outcomes, `rows` from {} where `last` >= ? order by `last` limit ?",
            self.names.own("outcomes")
        );
        let rows = self.session.rows(sql, params![from.get(), limit as u64]).await?;
        rows.iter().map(outcome_row).collect()
    }

    /// The server's number for this session.
    pub fn id(&self) -> u64 {
        self.session.id
    }

    /// Says goodbye, which gives the lock back.
    pub async fn close(self) {
        self.session.close().await;
    }

    /// Makes everything committed so far durable: a DDL of InnoDB flushes its log, whatever `innodb_flush_log_at_trx_commit` says.
    pub async fn flush(&mut self) -> Result<(), sqlx::Error> {
        let lazy = "select @@global.innodb_flush_log_at_trx_commit <> 1";
        if self.session.one(lazy, params![]).await?.try_get::<i64, _>(0)? != 0 {
            let marker = self.names.own("flush_marker");
            self.session.run(format!("create or replace table {marker} (id int) engine = InnoDB")).await?;
        }
        Ok(())
    }
}

/// The state row out of its columns `applied` and `state`.
pub fn state_row(row: &sqlx::mysql::MySqlRow) -> Result<Option<StateRow>, sqlx::Error> {
    let applied: Option<u64> = row.try_get(0)?;
    let state = row.try_get(1)?;
    Ok(applied.map(|applied| StateRow { applied: Offset::new(applied), state }))
}

fn outcome_row(row: &sqlx::mysql::MySqlRow) -> Result<OutcomeRow, sqlx::Error> {
    Ok(OutcomeRow {
        first: Offset::new(row.try_get(0)?),
        last: Offset::new(row.try_get(1)?),
        outcomes: row.try_get(2)?,
        rows: row.try_get(3)?,
    })
}

/// Takes the session lock.
async fn lock(session: &mut Session, address: &Address, previous: Option<u64>) -> Result<(), OpenError> {
    let failed = |e| unusable("take the session lock", e);
    let holder = "select cast(is_used_lock(?) as unsigned)";
    let name = address.names.lock.as_str();
    let ask = async |session: &mut Session| -> Result<Option<u64>, sqlx::Error> {
        session.one(holder, params![name]).await?.try_get(0)
    };
    // Our own session of before: the server has not yet noticed that it is gone.
    if let Some(own) = ask(session).await.map_err(failed)?.filter(|holder| Some(*holder) == previous) {
        let _ = session.run(format!("kill {own}")).await;
    }
    let taken = async |session: &mut Session| -> Result<Option<i64>, sqlx::Error> {
        session.one("select cast(get_lock(?, ?) as signed)", params![name, LOCK_WAIT_SECONDS]).await?.try_get(0)
    };
    if taken(session).await.map_err(failed)? == Some(1) {
        return Ok(());
    }
    let holder =
        ask(session).await.map_err(failed)?.map_or_else(String::new, |id| format!(" (connection {id} of the server)"));
    Err(OpenError::Unusable(format!(
        "another process of Kluster works with database {:?}{holder}; stop it, or give this node a database of its own",
        address.names.database
    )))
}
