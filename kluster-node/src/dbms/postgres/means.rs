//! Means: how it is learnt which rows requests change: from the rows that statements return, and where the server and the owner's rights allow it from
//! the server's own log as well, which also holds what triggers and cascades change.
//!
//! Neighbours: `postgres` asks at the start and around each batch; `changes` digests returned rows; `marks` and `follower` are for the log.
//!
//! Invariant: within one means, a request's digest is a function of the rows it changed; nodes with another means are not compared.

use super::connection::{Connection, NO_PARAMS};
use super::error::Error;
use super::follower::{self, Follower};
use super::logins::unusable;
use super::marks::{Mark, Marks, PREFIX};
use super::pins;
use super::seat::Seat;
use crate::dbms::{Finish, OpenError, Ran, Work, effects_of};
use crate::effects::EffectsBy;
use kluster_protocol::{Effects, EffectsMeans, Offset};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How effects are learnt.
#[derive(Debug)]
pub struct Means {
    /// Rows that statements return are digested.
    digests: bool,
    /// For the server's log; none: it cannot be read.
    marks: Option<Marks>,
    /// What the statements of the open batch returned.
    returned: Vec<(Offset, Effects)>,
}

/// How far the state row that a batch stores has counted the effects.
#[derive(Deserialize)]
struct Counted {
    effects: Option<CountedTo>,
}

#[derive(Deserialize)]
struct CountedTo {
    at: Option<Offset>,
}

impl Means {
    /// What this server and the rights of the owner's login allow.
    pub async fn choose(seat: &mut Seat, digests: bool) -> Result<Self, OpenError> {
        let marks = match digests {
            true => marks(seat).await?,
            false => None,
        };
        if marks.is_none() {
            give_up_slot(seat).await?;
        }
        Ok(Self { digests, marks, returned: Vec::new() })
    }

    /// After a lost connection, a batch may have been committed unseen.
    pub async fn regain(&mut self, seat: &mut Seat) -> Result<(), OpenError> {
        if let Some(marks) = &mut self.marks {
            marks.schema = schema(&mut seat.owner).await?;
        }
        Ok(())
    }

    /// The means in a word.
    pub fn by(&self) -> EffectsBy {
        match (self.digests, &self.marks) {
            (false, _) => EffectsBy::Nothing("it was switched off".to_owned()),
            (true, Some(_)) => EffectsBy::Means(EffectsMeans::Decoded),
            (true, None) => EffectsBy::Means(EffectsMeans::Wrapped),
        }
    }

    /// Whether rows that statements return are digested.
    pub fn digests(&self) -> bool {
        self.digests
    }

    /// Where works are marked.
    pub fn marks(&self) -> Option<&Marks> {
        self.marks.as_ref()
    }

    /// The open batch's works came to this.
    pub fn ran(&mut self, works: &[Work], ran: &[Ran]) {
        self.returned = effects_of(works, ran);
    }

    /// The mark of the open batch, which ends so.
    pub fn mark(&mut self, finish: &Finish) -> Option<String> {
        let returned = std::mem::take(&mut self.returned);
        let counted = || serde_json::from_str::<Counted>(&finish.state).ok()?.effects?.at;
        self.marks.as_ref().map(|marks| {
            marks.write(&Mark::Batch {
                predecessor: finish.predecessor,
                applied: finish.applied,
                counted: counted(),
                returned,
            })
        })
    }

    /// The work at this offset was committed and may have changed the schema.
    pub fn schema_changed(&mut self, at: Offset) {
        if let Some(marks) = &mut self.marks {
            marks.schema = at.get();
        }
    }

    /// What follows the server's log.
    pub fn follower(&self, seat: &Seat) -> Option<Follower> {
        let owner = seat.owner_address.clone();
        self.marks.as_ref().map(|marks| Follower {
            slot: slot(&owner.database),
            decoding: pins::decoding(owner.clone(), seat.version),
            owner,
            marks: marks.clone(),
        })
    }
}

/// The slot's name: the server has one name space for all databases, of lower-case letters, digits and `_`.
pub fn slot(database: &str) -> String {
    format!("kluster_{}", hex::encode(&Sha256::digest(database)[..8]))
}

/// What the server's log is read with; none: it cannot be read, or nobody asked for it.
async fn marks(seat: &mut Seat) -> Result<Option<Marks>, OpenError> {
    let Some(why) = why_not_decoded(seat).await? else { return prepare(seat).await.map(Some) };
    tracing::info!("effects are compared by the rows that statements return, without triggers and cascades: {why}");
    Ok(None)
}

/// A slot of an earlier start would keep the server's log without end.
async fn give_up_slot(seat: &mut Seat) -> Result<(), OpenError> {
    let name = slot(&seat.owner_address.database);
    match follower::drop_slot(&mut seat.owner, &name).await {
        Ok(()) => Ok(()),
        Err(Error::Server(error)) => {
            tracing::warn!(%error, slot = name, "a replication slot that is no longer read cannot be dropped: drop it by hand");
            Ok(())
        }
        Err(error) => Err(unusable(error)),
    }
}

/// Makes what the server's log is read with.
async fn prepare(seat: &mut Seat) -> Result<Marks, OpenError> {
    let marks = Marks::new(key(&mut seat.owner).await?, schema(&mut seat.owner).await?);
    let first = "select kluster_state.note_keys($1::bigint) where not exists (select from kluster_state.keys)";
    seat.owner.query(first, [Some(marks.schema.to_string())]).await.map_err(unusable)?;
    warn_of_endless_log(&mut seat.owner).await?;
    match follower::ensure_slot(&mut seat.owner, &slot(&seat.owner_address.database)).await {
        Ok(()) => {}
        // The server makes a slot when the transactions that are open now have ended; the follower tries again.
        Err(Error::Server(error)) => tracing::info!(%error, "there is no replication slot yet"),
        Err(error) => return Err(unusable(error)),
    }
    Ok(marks)
}

/// Without a bound, a node that stays away fills its server's disk.
async fn warn_of_endless_log(owner: &mut Connection) -> Result<(), OpenError> {
    let bound = "select pg_catalog.current_setting('max_slot_wal_keep_size')";
    let rows = owner.query(bound, NO_PARAMS).await.map_err(unusable)?.rows;
    if rows.first().and_then(|row| row.text(0)).as_deref() == Some("-1") {
        tracing::warn!(
            "max_slot_wal_keep_size is not set: while this node is down, the server keeps its log for it without end; set it to some GB"
        );
    }
    Ok(())
}

/// Why the server's log cannot be read; none: it can.
async fn why_not_decoded(seat: &mut Seat) -> Result<Option<String>, OpenError> {
    let sql = "select pg_catalog.current_setting('wal_level'), \
                      (select rolsuper or rolreplication from pg_catalog.pg_roles where rolname = current_user), \
                      (select count(*) from pg_catalog.pg_replication_slots where slot_name <> $1) < pg_catalog.current_setting('max_replication_slots')::int, \
                      pg_catalog.current_setting('max_wal_senders')::int > 0, current_user, \
                      pg_catalog.current_setting('kluster.effects', true)";
    let name = slot(&seat.owner_address.database);
    let rows = seat.owner.query(sql, [Some(&name)]).await.map_err(unusable)?.rows;
    let cell = |n| rows.first().and_then(|row| row.text(n)).unwrap_or_default().into_owned();
    // Asked for by the operator: it costs 40 % of the rate of apply in large batches.
    let why = if cell(5) != "decoded" {
        "kluster.effects is not set to 'decoded' on the server".to_owned()
    } else if cell(0) != "logical" {
        format!("wal_level is {}; set it to logical", cell(0))
    } else if cell(1) != "t" {
        format!("the login {} may not read the server's log; give it REPLICATION", cell(4))
    } else if cell(2) != "t" {
        "all replication slots are taken; raise max_replication_slots".to_owned()
    } else if cell(3) != "t" {
        "max_wal_senders is 0; raise it".to_owned()
    } else if let Err(error) = try_mark(&mut seat.app).await {
        format!("{error}; let users call pg_logical_emit_message")
    } else {
        return Ok(None);
    };
    Ok(Some(why))
}

async fn try_mark(app: &mut Connection) -> Result<(), Error> {
    let write = "select pg_catalog.pg_logical_emit_message(false, $1::text, ''::text)";
    app.query(write, [Some(PREFIX)]).await.map(|_| ())
}

/// The secret of marks, made once.
async fn key(owner: &mut Connection) -> Result<String, OpenError> {
    let make = "insert into kluster_state.about (key, value) values ('mark_key', $1) on conflict (key) do nothing";
    owner.query(make, [Some(hex::encode(rand::random::<[u8; 32]>()))]).await.map_err(unusable)?;
    about(owner, "mark_key").await.map(Option::unwrap_or_default)
}

/// The last offset that may have changed the schema.
async fn schema(owner: &mut Connection) -> Result<u64, OpenError> {
    let at = about(owner, "schema_changed").await?;
    Ok(at.and_then(|at| at.parse().ok()).unwrap_or_default())
}

async fn about(owner: &mut Connection, key: &str) -> Result<Option<String>, OpenError> {
    let found = owner.query("select value from kluster_state.about where key = $1", [Some(key)]).await;
    Ok(found.map_err(unusable)?.rows.first().and_then(|row| row.text(0)).map(std::borrow::Cow::into_owned))
}
