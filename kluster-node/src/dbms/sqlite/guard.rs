//! Guard: what user SQL may touch. One authorizer for the connection's life, with a mode that is set around prepare *and* step, for a
//! step prepares again after a change of the schema.
//!
//! Neighbours: `execute` and `reads` run user SQL as the user and ask afterwards whether it was denied something. A denial counts even
//! when the statement went through all the same (a virtual table may swallow an error).

use super::ffi;
use kluster_protocol::ErrorCode;
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{Action, AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kluster's own tables begin with this, in any case of letters.
const OWN_PREFIX: &str = "kluster_";

/// What differs between nodes or attempts, and its code: refused in ALL whenever it is called, also from a DEFAULT, a trigger or a view,
/// where no rule over the text of a request sees it. -1: any number of arguments.
const UNBOUND: [(&str, i32, ErrorCode); 11] = [
    ("random", 0, ErrorCode::Randomness),
    ("randomblob", 1, ErrorCode::Randomness),
    // Its result begins with bytes that each connection draws.
    ("fts5_locale", 2, ErrorCode::Randomness),
    ("last_insert_rowid", 0, ErrorCode::SessionState),
    ("changes", 0, ErrorCode::SessionState),
    ("total_changes", 0, ErrorCode::SessionState),
    ("sqlite_version", 0, ErrorCode::Environment),
    ("sqlite_source_id", 0, ErrorCode::Environment),
    ("sqlite_compileoption_get", 1, ErrorCode::Environment),
    ("sqlite_compileoption_used", 1, ErrorCode::Environment),
    ("sqlite_log", 2, ErrorCode::Environment),
];

/// What describes the schema and nothing else: readers may ask for it.
const READABLE_PRAGMAS: [&str; 7] =
    ["table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"];

/// What the full-text modules ask for inside. The first differs between nodes and is granted to no text of the user's.
const MODULE_PRAGMAS: [&str; 2] = ["data_version", "page_size"];

/// Who is speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// Kluster itself.
    Kluster,
    /// The user, whose text is prepared.
    Text,
    /// The user, whose statement is stepped: also what virtual tables ask for inside, and texts prepared again.
    Step,
}

/// What was denied, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denial {
    pub code: ErrorCode,
    pub message: String,
}

/// What user SQL may touch on one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reads_only: bool,
    mode: AtomicU8,
    /// The statement changes the schema or statistics rather than rows.
    ddl: AtomicBool,
    /// The statement's text writes the numbers that AUTOINCREMENT has given.
    numbers: AtomicBool,
    /// The tables that the statement makes, unless they are there.
    made: Mutex<Vec<String>>,
    denial: Mutex<Option<Denial>>,
}

/// While this lives, the user speaks.
#[derive(Debug)]
pub(super) struct AsUser<'a>(&'a Inner);

impl AsUser<'_> {
    /// From here on statements are stepped.
    pub fn steps(&self) {
        self.0.mode.store(Mode::Step as u8, Ordering::Relaxed);
    }
}

impl Drop for AsUser<'_> {
    fn drop(&mut self) {
        self.0.mode.store(Mode::Kluster as u8, Ordering::Relaxed);
        if !self.0.reads_only {
            ffi::close_clock(false);
            if ffi::clock_was_asked() {
                let message = "the clock differs between nodes; let the client read it and bind the time";
                self.0.deny(ErrorCode::Clock, message.to_owned());
            }
        }
    }
}

impl Guard {
    /// Guards the connection that writes.
    pub fn of_writes(conn: &mut Connection) -> Result<Self> {
        let guard = Self::set(conn, false)?;
        for (name, args, code) in UNBOUND {
            refuse_function(conn, guard.inner.clone(), name, args, code)?;
        }
        guard.inner.clone().refuse_last_rowid(conn)?;
        Ok(guard)
    }

    /// Guards a connection of ONE.
    pub fn of_reads(conn: &mut Connection) -> Result<Self> {
        Self::set(conn, true)
    }

    fn set(conn: &mut Connection, reads_only: bool) -> Result<Self> {
        let inner = Arc::new(Inner {
            reads_only,
            mode: AtomicU8::new(Mode::Kluster as u8),
            ddl: AtomicBool::new(false),
            numbers: AtomicBool::new(false),
            made: Mutex::default(),
            denial: Mutex::new(None),
        });
        let guarded = inner.clone();
        conn.authorizer(Some(move |context: AuthContext<'_>| guarded.authorize(&context)))?;
        Ok(Self { inner })
    }

    /// The user speaks on this thread until the value returned is dropped; what the statement before was denied is forgotten.
    pub fn user(&self) -> AsUser<'_> {
        self.inner.ddl.store(false, Ordering::Relaxed);
        self.inner.numbers.store(false, Ordering::Relaxed);
        self.made().clear();
        self.take_denial();
        self.inner.mode.store(Mode::Text as u8, Ordering::Relaxed);
        if !self.inner.reads_only {
            ffi::close_clock(true);
        }
        AsUser(&self.inner)
    }

    /// What the user was denied, if anything.
    pub fn take_denial(&self) -> Option<Denial> {
        self.inner.denial.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The user's last statement wrote `sqlite_sequence` itself.
    pub fn wrote_numbers(&self) -> bool {
        self.inner.numbers.load(Ordering::Relaxed)
    }

    /// The tables that the user's last statement made, unless they were there.
    pub fn made(&self) -> MutexGuard<'_, Vec<String>> {
        self.inner.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user's last statement changed the schema.
    pub fn was_ddl(&self) -> bool {
        self.inner.ddl.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::Relaxed) == mode as u8
    }

    fn deny(&self, code: ErrorCode, message: String) {
        // The first denial is the reason, later ones follow from it.
        self.denial.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Denial { code, message });
    }

    /// Behind a row with the largest rowid SQLite gives every further row a random one, in tables of its modules too; so no row gets it.
    fn refuse_last_rowid(self: Arc<Self>, conn: &mut Connection) -> Result<()> {
        let refuse = move |action: Action, _: &str, _: &str, rowid: i64| {
            let writes = matches!(action, Action::SQLITE_INSERT | Action::SQLITE_UPDATE);
            if rowid == i64::MAX && writes && !self.is(Mode::Kluster) {
                let message =
                    "a row with the rowid 9223372036854775807 would make every later one's random; use a smaller one";
                self.deny(ErrorCode::InvalidValue, message.to_owned());
            }
        };
        conn.update_hook(Some(refuse))
    }

    fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        if self.is(Mode::Kluster) {
            return Authorization::Allow;
        }
        if changes_schema(&context.action) {
            self.ddl.store(true, Ordering::Relaxed);
        }
        if writes_numbers(&context.action) {
            self.numbers.store(true, Ordering::Relaxed);
        }
        if let AuthAction::CreateTable { table_name } = context.action {
            self.made.lock().unwrap_or_else(PoisonError::into_inner).push(table_name.to_owned());
        }
        match self.verdict(&context.action) {
            Ok(()) => Authorization::Allow,
            Err((code, message)) => {
                self.deny(code, message);
                Authorization::Deny
            }
        }
    }

    fn verdict(&self, action: &AuthAction<'_>) -> std::result::Result<(), (ErrorCode, String)> {
        let refused = |code, what: &str| Err((code, what.to_owned()));
        if let Some(name) = names(action).into_iter().flatten().find(|name| is_own(name)) {
            return Err((
                ErrorCode::KlusterSchema,
                format!("names that begin with {OWN_PREFIX} are Kluster's own ({name})"),
            ));
        }
        match *action {
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => refused(
                ErrorCode::TransactionControl,
                "a request is a transaction already; use `statements` for several",
            ),
            AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
                refused(ErrorCode::Administration, "other database files cannot be attached")
            }
            AuthAction::Pragma { pragma_name, pragma_value } => self.pragma(pragma_name, pragma_value),
            AuthAction::CreateTempIndex { .. }
            | AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempTrigger { .. }
            | AuthAction::CreateTempView { .. }
            | AuthAction::DropTempIndex { .. }
            | AuthAction::DropTempTable { .. }
            | AuthAction::DropTempTrigger { .. }
            | AuthAction::DropTempView { .. } => {
                refused(ErrorCode::SessionState, "temporary objects live in a session, which is not replicated")
            }
            AuthAction::Function { function_name } if is_dangerous(function_name) => {
                Err((ErrorCode::PrivilegeViolation, format!("the function {function_name} reaches the server")))
            }
            AuthAction::Read { table_name, .. } if !self.reads_only && is_physical(table_name) => {
                Err((ErrorCode::Environment, format!("{table_name} differs between nodes")))
            }
            AuthAction::CreateVtable { module_name, .. } if is_physical(module_name) => {
                Err((ErrorCode::Environment, format!("{module_name} differs between nodes")))
            }
            AuthAction::Unknown { code, .. } => {
                Err((ErrorCode::PrivilegeViolation, format!("the action {code} is not known to be harmless")))
            }
            _ => Ok(()),
        }
    }

    fn pragma(&self, name: &str, value: Option<&str>) -> std::result::Result<(), (ErrorCode, String)> {
        let listed = |list: &[&str]| list.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        let asked = if self.is(Mode::Step) { &MODULE_PRAGMAS[..] } else { &MODULE_PRAGMAS[1..] };
        let asks_module = listed(asked) && value.is_none();
        if asks_module || (self.reads_only && listed(&READABLE_PRAGMAS)) {
            return Ok(());
        }
        Err((ErrorCode::SessionState, format!("PRAGMA {name} is the node's own; every node has the same settings")))
    }
}

/// A function that refuses the statement that calls it as the user, in the place of the one built in.
fn refuse_function(conn: &Connection, inner: Arc<Inner>, name: &'static str, args: i32, code: ErrorCode) -> Result<()> {
    // Innocuous: a DEFAULT may call it and be refused for its own reason, not for distrust of the schema.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function(name, args, flags, move |_| -> Result<Option<i64>> {
        let message = format!("{name}() differs between nodes; let the client make the value and bind it");
        inner.deny(code, message.clone());
        Err(Error::UserFunctionError(message.into()))
    })
}

/// The names of tables, views, indexes and triggers that an action is about.
fn names<'a>(action: &AuthAction<'a>) -> [Option<&'a str>; 2] {
    match *action {
        AuthAction::CreateIndex { index_name: name, table_name }
        | AuthAction::DropIndex { index_name: name, table_name }
        | AuthAction::CreateTempIndex { index_name: name, table_name }
        | AuthAction::DropTempIndex { index_name: name, table_name }
        | AuthAction::CreateTrigger { trigger_name: name, table_name }
        | AuthAction::DropTrigger { trigger_name: name, table_name }
        | AuthAction::CreateTempTrigger { trigger_name: name, table_name }
        | AuthAction::DropTempTrigger { trigger_name: name, table_name } => [Some(name), Some(table_name)],
        AuthAction::CreateTable { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::CreateTempTable { table_name }
        | AuthAction::DropTempTable { table_name }
        | AuthAction::CreateVtable { table_name, .. }
        | AuthAction::DropVtable { table_name, .. }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::Analyze { table_name }
        | AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Read { table_name, .. } => [Some(table_name), None],
        AuthAction::CreateView { view_name }
        | AuthAction::DropView { view_name }
        | AuthAction::CreateTempView { view_name }
        | AuthAction::DropTempView { view_name } => [Some(view_name), None],
        AuthAction::Reindex { index_name } => [Some(index_name), None],
        _ => [None, None],
    }
}

fn changes_schema(action: &AuthAction<'_>) -> bool {
    matches!(
        action,
        AuthAction::CreateIndex { .. }
            | AuthAction::CreateTable { .. }
            | AuthAction::CreateTrigger { .. }
            | AuthAction::CreateView { .. }
            | AuthAction::CreateVtable { .. }
            | AuthAction::DropIndex { .. }
            | AuthAction::DropTable { .. }
            | AuthAction::DropTrigger { .. }
            | AuthAction::DropView { .. }
            | AuthAction::DropVtable { .. }
            | AuthAction::AlterTable { .. }
            | AuthAction::Analyze { .. }
            | AuthAction::Reindex { .. }
    )
}

fn writes_numbers(action: &AuthAction<'_>) -> bool {
    matches!(
        action,
        AuthAction::Insert { table_name: "sqlite_sequence" } | AuthAction::Update { table_name: "sqlite_sequence", .. }
    )
}

fn is_own(name: &str) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

fn is_dangerous(function: &str) -> bool {
    ["load_extension", "fts3_tokenizer"].iter().any(|name| name.eq_ignore_ascii_case(function))
}

/// Tables that show pages or counters of the file.
fn is_physical(table: &str) -> bool {
    ["dbstat", "pragma_data_version", "sqlite_dbpage"].iter().any(|name| name.eq_ignore_ascii_case(table))
}
