//! The Postgres adapter.

pub mod address;
pub mod connection;
pub mod error;
pub mod types;
pub mod value;

use super::*;

/// The Postgres adapter.
#[derive(Debug)]
pub struct Postgres;

/// The door for reads.
#[derive(Debug, Clone)]
pub struct Reads;

impl Postgres {
    /// See [`Dbms::open`].
    pub async fn open(_settings: &DbmsSettings) -> Result<Self, OpenError> {
        Err(OpenError::Unusable("not built yet".into()))
    }
    /// See [`Dbms::info`].
    pub fn info(&self) -> Info {
        unreachable!()
    }
    /// See [`Dbms::load`].
    pub async fn load(&mut self) -> Result<Option<StateRow>, Fault> {
        unreachable!()
    }
    /// See [`Dbms::outcome_rows`].
    pub async fn outcome_rows(&mut self, _from: Offset, _limit: usize) -> Result<Vec<OutcomeRow>, Fault> {
        unreachable!()
    }
    /// See [`Dbms::run`].
    pub async fn run(&mut self, _predecessor: Option<Offset>, _works: &[Work]) -> Result<Vec<Ran>, Fault> {
        unreachable!()
    }
    /// See [`Dbms::commit`].
    pub async fn commit(&mut self, _finish: &Finish) -> Result<Option<Refusal>, Fault> {
        unreachable!()
    }
    /// See [`Dbms::recover`].
    pub async fn recover(&mut self) -> Result<(), Fault> {
        unreachable!()
    }
    /// See [`Dbms::checks_late`].
    pub fn checks_late(&self) -> bool {
        unreachable!()
    }
    /// See [`Dbms::reads`].
    pub fn reads(&self) -> Reads {
        unreachable!()
    }
    /// See [`Dbms::close`].
    pub async fn close(self) {}
}

impl Reads {
    /// See [`super::Reads::read`].
    pub async fn read(&self, _read: &Read, _events: &tokio::sync::mpsc::Sender<ReadEvent>) -> Result<(), ReadError> {
        unreachable!()
    }
}
