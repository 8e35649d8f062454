//! App: the session for user SQL of ALL, and what a failure means for it.
//!
//! Neighbours: [`super::MariaDb`] hands it each batch; [`super::batch`] and [`super::intent`] say what is sent.
//!
//! Invariants
//! 1. The session is out of [`App::session`] while it is used. A caller that drops the future drops the session with it, and the next
//!    call answers [`Fault::Lost`]: a session left in the middle of an answer is never used again.
//! 2. After a fault no transaction is open, unless the session is gone.
//! 3. A transaction that was not committed is rolled back before the next begins, for BEGIN itself would commit it.

use super::accounts::Logins;
use super::batch::Batch;
use super::binlog::Logging;
use super::errors::{self, Stop};
use super::intent::{self, Intent};
use super::interrupt::Interrupt;
use super::orphans;
use super::owner::Owner;
use super::session::Session;
use crate::dbms::{Finish, How, Ran, Work, effects_of};
use crate::fault::{Cause, Fault, Refusal};
use kluster_protocol::{DIVERGED, Effects, Offset};
use sqlx::Connection;

/// The session for user SQL of ALL.
#[derive(Debug)]
pub struct App {
    session: Option<Session>,
    logins: Logins,
    batch: Batch,
    open: Option<Open>,
    /// The digests of the rows that the open batch's statements returned.
    returned: Vec<(Offset, Effects)>,
    intent: Option<Intent>,
    /// Nothing has changed the schema since [`Batch::computed`] was asked for.
    computed_is_known: bool,
}

/// A batch that ran and is not yet committed.
#[derive(Debug, Clone, Copy)]
struct Open {
    works: usize,
    how: How,
}

impl App {
    /// Logs in, ends what is left of sessions before, and reads whether a statement was begun and not finished.
    pub async fn enter(owner: &mut Owner, logins: Logins, batch: Batch) -> Result<Self, sqlx::Error> {
        let mut session = Session::open(&logins.app.0, &logins.app.1).await?;
        orphans::end(&mut session).await?;
        let intent = owner.intent(&batch).await?;
        Ok(Self {
            session: Some(session),
            logins,
            batch,
            open: None,
            returned: Vec::new(),
            intent,
            computed_is_known: false,
        })
    }

    /// As whom it logs in.
    pub fn user(&self) -> &str {
        self.logins.app.0.get_username()
    }

    /// Ends what its sessions are executing.
    pub fn interrupt(&self) -> Interrupt {
        Interrupt::new(self.logins.app.0.clone())
    }

    /// See [`crate::dbms::Dbms::run`].
    pub async fn run(
        &mut self,
        owner: &mut Owner,
        predecessor: Option<Offset>,
        works: &[Work],
    ) -> Result<Vec<Ran>, Fault> {
        let mut session = self.take()?;
        let unfinished = self.open.take().is_some();
        let ran = self.run_in(&mut session, owner, predecessor, works, unfinished).await;
        self.computed_is_known &= ran.is_ok() && works.iter().all(|work| work.how == How::Batched);
        if let Ok(ran) = &ran {
            self.returned = effects_of(works, ran);
            let how = works.first().map_or(How::Batched, |work| work.how);
            self.open = Some(Open { works: works.len(), how });
        }
        self.give_back(session, ran.as_ref().err()).await;
        ran
    }

    async fn run_in(
        &mut self,
        session: &mut Session,
        owner: &mut Owner,
        predecessor: Option<Offset>,
        works: &[Work],
        unfinished: bool,
    ) -> Result<Vec<Ran>, Fault> {
        if unfinished {
            session.run("rollback").await.map_err(errors::fault)?;
        }
        intent::check(self.intent.as_ref(), works)?;
        if !self.computed_is_known && matches!(owner.logging, Logging::Rows { .. }) {
            self.batch.computed = owner.computed().await.map_err(errors::fault)?;
            self.computed_is_known = true;
        }
        match works {
            [work] if work.how == How::SelfCommitting => match intent::refusal(work) {
                Some(refusal) => Ok(vec![Err(refusal)]),
                None => {
                    let ran = intent::run(&self.batch, owner, session, predecessor, work, &mut self.intent).await?;
                    Ok(vec![ran])
                }
            },
            [_, _, ..] if works.iter().any(|work| work.how != How::Batched) => {
                let message = "a statement that must run alone was put into a batch; this is a fault of Kluster";
                Err(Fault::Fatal(Cause::new("batch", message)))
            }
            _ => {
                self.batch.claim(session, predecessor).await?;
                self.batch.execute(session, works).await
            }
        }
    }

    /// See [`crate::dbms::Dbms::commit`].
    pub async fn commit(&mut self, owner: &mut Owner, finish: &Finish) -> Result<Option<Refusal>, Fault> {
        let mut session = self.take()?;
        let Some(open) = self.open.take() else {
            self.session = Some(session);
            return Err(Fault::Fatal(Cause::new("batch", "there is nothing to commit; this is a fault of Kluster")));
        };
        let committed = match self.check_given_up(owner, open, finish).await {
            Ok(()) => self.commit_in(&mut session, open, finish).await,
            Err(fault) => Err(fault),
        };
        match &committed {
            Ok(None) => {
                // A state that is written again without the announced offset leaves the announcement where it is.
                self.intent = self.intent.take().filter(|intent| intent.offset > finish.applied);
                self.reset(session, open.how).await;
            }
            Ok(Some(_)) => {
                let lost = session.run("rollback").await.is_err();
                self.session = (!lost).then_some(session);
            }
            Err(fault) => self.give_back(session, Some(fault)).await,
        }
        committed
    }

    /// An announced statement whose offset is passed without it (it was given up by a decision) must have changed nothing.
    async fn check_given_up(&self, owner: &mut Owner, open: Open, finish: &Finish) -> Result<(), Fault> {
        let given_up = |intent: &&Intent| open.how != How::SelfCommitting && intent.offset <= finish.applied;
        let Some(intent) = self.intent.as_ref().filter(given_up) else { return Ok(()) };
        match intent::is_unchanged(&self.batch, owner, intent).await? {
            true => Ok(()),
            false => Err(Fault::Fatal(Cause::new(
                DIVERGED,
                format!(
                    "the statement at offset {} took effect here, and it was decided that it has none: empty this database, and start the node: it refills from the log",
                    intent.offset
                ),
            ))),
        }
    }

    async fn commit_in(
        &mut self,
        session: &mut Session,
        open: Open,
        finish: &Finish,
    ) -> Result<Option<Refusal>, Fault> {
        if open.how == How::SelfCommitting {
            self.batch.claim(session, finish.predecessor).await?;
        }
        self.batch.store(session, finish, &self.returned).await?;
        let Err(error) = self.batch.commit(session).await else {
            return Ok(None);
        };
        match errors::stop(error, open.works == 1) {
            Stop::Refused(refusal) if open.works == 1 => Ok(Some(refusal)),
            Stop::Refused(refusal) => Err(Fault::RunAlone(Cause::new("commit", refusal.message))),
            Stop::Fault(fault) => Err(fault),
        }
    }

    fn take(&mut self) -> Result<Session, Fault> {
        self.session.take().ok_or_else(|| Fault::Lost(Cause::new("session", "there is no session of user SQL")))
    }

    /// Keeps the session after `fault`, its transaction rolled back, unless it is gone.
    async fn give_back(&mut self, mut session: Session, fault: Option<&Fault>) {
        let kept = match fault {
            None => Ok(()),
            Some(fault) if errors::breaks(fault) => return,
            // What was prepared may be the reason.
            Some(Fault::RunAlone(_)) => clean(&mut session).await,
            Some(_) => session.run("rollback").await,
        };
        self.session = kept.is_ok().then_some(session);
    }

    /// Behind a work that ran alone the session is a new one: variables, prepared statements and locks of before are gone.
    async fn reset(&mut self, session: Session, how: How) {
        if how == How::Batched {
            self.session = Some(session);
            return;
        }
        // The old one first: two sessions of user SQL never live together.
        session.close().await;
        match Session::open(&self.logins.app.0, &self.logins.app.1).await {
            Ok(fresh) => self.session = Some(fresh),
            Err(error) => tracing::warn!(%error, "no new session for user SQL; it is tried again"),
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}

async fn clean(session: &mut Session) -> Result<(), sqlx::Error> {
    session.run("rollback").await?;
    session.connection.clear_cached_statements().await
}
