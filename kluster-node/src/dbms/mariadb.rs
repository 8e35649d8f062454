//! The adapter for MariaDB 10.6 and newer.
//!
//! | module | purpose |
//! |---|---|
//! | `address`, `names` | where the server is; what Kluster's own things are called there |
//! | `session`, `settings` | a connection, and what is set in it |
//! | `owner`, `server`, `schema`, `accounts` | the lock; what the server must be; Kluster's own database and its procedures; the accounts for user SQL |
//! | `app`, `batch`, `intent`, `fingerprint`, `orphans` | the ALL lane: transactions, and statements that commit by themselves |
//! | `locks`, `interrupt` | who holds what the ALL lane waits for; how what it executes is ended |
//! | `keys` | which columns tell a table's rows apart |
//! | `binlog` | which rows each request changed, from the server's binary log |
//! | `reads`, `reading` | the ONE lane |
//! | `snapshot` | what a check sums |
//! | `execution`, `params`, `shape`, `cell` | one statement of a user, its params, its rows |
//! | `errors` | what the node does about each error |
//!
//! Kluster's own tables are in a database of their own, `kluster_state_<database>`. User SQL logs in as an account that has no right
//! there but EXECUTE on procedures that ask for this process's secret. The operator may set `innodb_flush_log_at_trx_commit = 2`: state
//! and effects commit together, so what a crash takes back is applied again from the log.
//!
//! MariaDB checks every constraint at once, so nothing is checked late.

mod accounts;
mod address;
mod app;
mod batch;
mod binlog;
mod cell;
mod errors;
mod execution;
mod fingerprint;
mod intent;
mod interrupt;
mod keys;
mod locks;
mod names;
mod orphans;
mod owner;
mod params;
mod reading;
mod reads;
mod schema;
mod schema_objects;
mod server;
mod session;
mod settings;
mod shape;
mod snapshot;
mod snapshot_columns;
mod surroundings;

use super::*;
use crate::fault::Cause;
use address::Address;
use app::App;
use batch::Batch;
use binlog::{Computed, Logging, Reached};
pub use interrupt::Interrupt;
use keys::KeyBook;
use kluster_protocol::{EffectsMeans, Fingerprint};
pub use locks::Locks;
use owner::Owner;
pub use reads::Reads;
pub use snapshot::{Snapshot, Snapshots};

/// The MariaDB beside this node.
#[derive(Debug)]
pub struct MariaDb {
    settings: DbmsSettings,
    address: Address,
    version: String,
    /// Out of here while it is used, as [`App`] does with its session.
    owner: Option<Owner>,
    /// The number of the owner's newest session, which may still hold the lock when it is lost.
    owner_id: u64,
    app: Option<App>,
    keys: KeyBook,
    reads: Reads,
    snapshots: Snapshots,
    effects: EffectsBy,
    reached: Reached,
}

impl MariaDb {
    /// See [`Dbms::open`].
    pub async fn open(settings: &DbmsSettings) -> Result<Self, OpenError> {
        let address = Address::of(&settings.url)?;
        let reached = Reached::default();
        let (mut owner, app, reads) = enter(settings, &address, &reached, None).await?;
        let followed = owner.followed().await.map_err(|e| server::unusable("read the state", e))?;
        reached.stored(followed.as_deref());
        let state = owner.state().await.map_err(|e| server::unusable("read the state", e))?;
        if let Logging::Rows { end, .. } = &owner.logging {
            reached.begin(end, state.map(|row| row.applied));
        }
        Ok(Self {
            effects: effects_by(&owner.logging),
            reached,
            settings: settings.clone(),
            version: owner.version.clone(),
            owner_id: owner.id(),
            reads: Reads::new(reads, settings.max_reads),
            snapshots: Snapshots::new(&address, &owner.known, &owner.version),
            owner: Some(owner),
            app: Some(app),
            keys: KeyBook::default(),
            address,
        })
    }

    /// See [`Dbms::info`].
    pub fn info(&self) -> Info {
        Info { name: "MariaDB", version: self.version.clone() }
    }

    /// See [`Dbms::fingerprint`].
    pub async fn fingerprint(&mut self) -> Result<Fingerprint, Fault> {
        let app = self.app.as_ref().map(|app| app.user().to_owned()).ok_or_else(nobody)?;
        let mut owner = self.owner()?;
        let read = surroundings::read(&mut owner, &self.address.names, &app).await.map_err(errors::fault);
        self.keep(owner, read)
    }

    /// See [`Dbms::load`].
    pub async fn load(&mut self) -> Result<Option<StateRow>, Fault> {
        let mut owner = self.owner()?;
        let state = owner.state().await.map_err(errors::fault);
        self.keep(owner, state)
    }

    /// See [`Dbms::outcome_rows`].
    pub async fn outcome_rows(&mut self, from: Offset, limit: usize) -> Result<Vec<OutcomeRow>, Fault> {
        let mut owner = self.owner()?;
        let rows = owner.outcome_rows(from, limit).await.map_err(errors::fault);
        self.keep(owner, rows)
    }

    /// See [`Dbms::run`].
    pub async fn run(&mut self, predecessor: Option<Offset>, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        let mut owner = self.owner()?;
        let app = self.app.as_mut().ok_or_else(nobody)?;
        let ran = app.run(&mut owner, predecessor, works).await;
        if works.iter().any(|work| work.how == How::SelfCommitting) {
            self.reads.schema_changed();
        }
        if ran.is_err() || works.iter().any(|work| work.how != How::Batched) {
            self.keys.clear();
        }
        self.keep(owner, ran)
    }

    /// See `Dbms::keys`.
    pub async fn keys(&mut self, table: &[String]) -> Result<Keys, Fault> {
        let mut owner = self.owner()?;
        let keys = self.keys.of(&mut owner, &self.address.names.database, table).await;
        self.keep(owner, keys)
    }

    /// See [`Dbms::commit`].
    pub async fn commit(&mut self, finish: &Finish) -> Result<Option<Refusal>, Fault> {
        let mut owner = self.owner()?;
        let app = self.app.as_mut().ok_or_else(nobody)?;
        let committed = app.commit(&mut owner, finish).await;
        self.keep(owner, committed)
    }

    /// See [`Dbms::recover`].
    pub async fn recover(&mut self) -> Result<(), Fault> {
        self.keys.clear();
        if let Some(app) = self.app.take() {
            app.close().await;
        }
        // All is made anew: another server may answer at the address, and user SQL may have changed its account's password.
        if let Some(owner) = self.owner.take() {
            owner.close().await;
        }
        let entered = enter(&self.settings, &self.address, &self.reached, Some(self.owner_id)).await;
        let (owner, app, reads) = entered.map_err(|error| match error {
            OpenError::Unreachable(why) => Fault::Lost(Cause::new("connection", why)),
            OpenError::Unusable(why) => Fault::Fatal(Cause::new("open", why)),
        })?;
        self.owner_id = owner.id();
        self.effects = effects_by(&owner.logging);
        self.owner = Some(owner);
        self.app = Some(app);
        self.reads.log_in_as(reads);
        Ok(())
    }

    /// See [`Dbms::checks_late`].
    pub fn checks_late(&self) -> bool {
        false
    }

    /// See [`Dbms::effects`].
    pub fn effects(&self) -> EffectsBy {
        self.effects.clone()
    }

    /// See [`Dbms::effects_follower`].
    pub fn effects_follower(&self, trail: EffectsTrail) -> Option<EffectsFollower> {
        let follows = self.effects.means() == EffectsMeans::Binlog;
        follows
            .then(|| -> EffectsFollower { Box::pin(binlog::follow(self.address.clone(), self.reached.clone(), trail)) })
    }

    /// See [`Dbms::reads`].
    pub fn reads(&self) -> Reads {
        self.reads.clone()
    }

    /// See [`Dbms::snapshots`].
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    /// See [`Dbms::locks`].
    pub fn locks(&self) -> Locks {
        let app = self.app.as_ref().map_or(self.address.names.app.as_str(), App::user);
        Locks::new(self.address.login.clone(), self.address.names.clone(), app.to_owned())
    }

    /// See [`Dbms::interrupt`].
    pub fn interrupt(&self) -> Option<Interrupt> {
        self.app.as_ref().map(App::interrupt)
    }

    /// See [`Dbms::close`].
    pub async fn close(self) {
        self.reads.close().await;
        if let Some(app) = self.app {
            app.close().await;
        }
        if let Some(owner) = self.owner {
            owner.close().await;
        }
    }

    fn owner(&mut self) -> Result<Owner, Fault> {
        self.owner.take().ok_or_else(nobody)
    }

    /// Puts the owner's session back, unless it may be what was lost.
    fn keep<T>(&mut self, owner: Owner, result: Result<T, Fault>) -> Result<T, Fault> {
        if !result.as_ref().is_err_and(errors::breaks) {
            self.owner = Some(owner);
        }
        result
    }
}

fn nobody() -> Fault {
    Fault::Lost(Cause::new("session", "there is no session"))
}

fn effects_by(logging: &Logging) -> EffectsBy {
    match logging {
        Logging::Rows { .. } => EffectsBy::Means(EffectsMeans::Binlog),
        Logging::Unusable(why) => EffectsBy::Nothing(why.clone()),
        Logging::Off => EffectsBy::Nothing(
            "the server writes no binary log; set log_bin = ON in its configuration and start it again".to_owned(),
        ),
    }
}

/// Everything that a node needs on the server, from the lock to the logins.
async fn enter(
    settings: &DbmsSettings,
    address: &Address,
    reached: &Reached,
    previous: Option<u64>,
) -> Result<(Owner, App, reads::Login), OpenError> {
    let mut owner = Owner::enter(address, &settings.node_id, previous).await?;
    let logins = accounts::ensure(&mut owner, address, settings).await?;
    let batch = Batch {
        names: address.names.clone(),
        secret: owner.secret.clone(),
        reached: reached.clone(),
        computed: Computed::default(),
        steps: settings.steps.clone(),
    };
    let reads = reads::Login::new(&logins, &batch);
    let app = App::enter(&mut owner, logins, batch).await;
    let app = app.map_err(|error| server::unusable("log in for user SQL", error))?;
    Ok((owner, app, reads))
}
