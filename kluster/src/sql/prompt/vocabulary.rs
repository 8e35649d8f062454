//! Vocabulary: the names of tables and columns, for completion; fetched in the background, never waited for.

use crate::sql::catalog::{self, About};
use crate::sql::session::Session;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The columns of each table and view, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// By the relation's name as the DBMS has it.
    pub relations: BTreeMap<String, Vec<String>>,
}

/// Shared by the thread that reads lines and whoever fetches names.
pub type Shared = Arc<Mutex<Vocabulary>>;

impl Vocabulary {
    /// One without a name yet.
    pub fn shared() -> Shared {
        Arc::default()
    }

    /// A copy of what is known now.
    pub fn now(shared: &Shared) -> Self {
        shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of pairs of relation and column.
    fn of(pairs: Vec<(String, String)>) -> Self {
        let mut relations: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (relation, column) in pairs {
            relations.entry(relation).or_default().push(column);
        }
        Self { relations }
    }
}

/// Fetches the names anew. `changed`: this session changed them, so the node asked must have seen that; else any will do.
pub fn refresh(shared: &Shared, session: &Session, changed: bool) {
    let query = session.cluster.client.query(catalog::list(session.cluster.dialect, About::Columns));
    let query = if changed { query.session() } else { query.eventual() };
    let (shared, timeout) = (shared.clone(), session.settings.timeout);
    tokio::spawn(async move {
        match query.timeout(timeout).fetch::<(String, String)>().await {
            Ok(pairs) => *shared.lock().unwrap_or_else(PoisonError::into_inner) = Vocabulary::of(pairs),
            Err(error) => tracing::debug!(%error, "no names for completion"),
        }
    });
}
