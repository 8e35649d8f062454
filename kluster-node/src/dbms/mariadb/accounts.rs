//! Accounts: the logins for user SQL of ALL and of ONE, made anew by the owner with fresh random passwords at each start.
//!
//! Neighbours: [`super::owner`] holds the session. Invariant: neither account has a right outside the user's database but EXECUTE on
//! the procedures of [`super::schema`]; neither may grant, and the one for reads may only read.
//!
//! User SQL can change its own account's password: that locks nobody out for longer than until the next start or login.

use super::address::{Address, login};
use super::names::{Names, account, literal};
use super::owner::Owner;
use super::schema;
use super::session::params;
use super::settings::{For, Settings};
use crate::dbms::{DbmsSettings, OpenError};
use rand::Rng;
use sqlx::Row;
use sqlx::mysql::MySqlConnectOptions;

/// The rights of user SQL on the user's database: data, tables, views, routines, triggers. No events (they run by the clock of one
/// server), no temporary tables and no table locks (they belong to a session).
const APP_RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, EXECUTE, CREATE VIEW, SHOW VIEW, \
     CREATE ROUTINE, ALTER ROUTINE, TRIGGER, DELETE HISTORY";
/// The rights of reads.
const READ_RIGHTS: &str = "SELECT, SHOW VIEW";

/// How the sessions for user SQL log in and what is set in them.
#[derive(Debug, Clone)]
pub struct Logins {
    /// User SQL of ALL.
    pub app: (MySqlConnectOptions, Settings),
    /// User SQL of ONE.
    pub read: (MySqlConnectOptions, Settings),
}

/// Makes the accounts, or takes the logins that the settings give.
pub async fn ensure(owner: &mut Owner, address: &Address, settings: &DbmsSettings) -> Result<Logins, OpenError> {
    let names = &address.names;
    let app = account_for(owner, address, settings.app_url.as_deref(), &names.app, For::App).await?;
    let read = account_for(owner, address, settings.read_url.as_deref(), &names.read, For::Read).await?;
    let mut app_settings = Settings::of(For::App, &owner.known, names);
    if owner.enforces_engine {
        app_settings = app_settings.and(format!("call {}()", names.own("enforce_engine")));
    }
    if owner.logging.is_set() {
        app_settings = app_settings.and(format!("call {}()", names.own("log_rows")));
    }
    let read_settings = Settings::of(For::Read, &owner.known, names);
    Ok(Logins { app: (app, app_settings), read: (read, read_settings) })
}

async fn account_for(
    owner: &mut Owner,
    address: &Address,
    given: Option<&str>,
    user: &str,
    purpose: For,
) -> Result<MySqlConnectOptions, OpenError> {
    let names = &address.names;
    let (login, accounts) = match given {
        Some(url) => {
            let login = login(url)?.database(&names.database);
            // An owner that may not read the list of accounts names the usual one.
            let accounts = accounts_of(owner, login.get_username()).await;
            let accounts = accounts.unwrap_or_else(|_| vec![account(login.get_username(), "%")]);
            (login, accounts)
        }
        None => {
            let password = password();
            let made = make(owner, user, &password, purpose, names).await;
            let accounts = made.map_err(|e| address.refused("make accounts", e))?;
            (address.login.clone().username(user).password(&password).database(&names.database), accounts)
        }
    };
    let procedures = match purpose {
        For::Read => schema::READ_PROCEDURES,
        For::App | For::Owner => schema::APP_PROCEDURES,
    };
    for account in &accounts {
        for procedure in procedures {
            let grant = format!("grant execute on procedure {} to {account}", names.own(procedure));
            owner.session.run(grant).await.map_err(|e| address.refused("grant EXECUTE on its procedures", e))?;
        }
    }
    Ok(login)
}

/// Makes an account anew, whatever was done to it before, for the hosts that we may appear to come from.
async fn make(
    owner: &mut Owner,
    user: &str,
    password: &str,
    purpose: For,
    names: &Names,
) -> Result<Vec<String>, sqlx::Error> {
    let from: String = owner.session.one("select substring_index(user(), '@', -1)", params![]).await?.try_get(0)?;
    // An anonymous account of 'localhost' would go before ours of '%'.
    let hosts = if from == "localhost" { vec!["%", "localhost"] } else { vec!["%"] };
    let accounts: Vec<String> = hosts.into_iter().map(|host| account(user, host)).collect();
    for account in &accounts {
        owner.session.run(format!("create or replace user {account} identified by {}", literal(password))).await?;
        owner.session.run(database_grant(names, account, purpose)).await?;
    }
    Ok(accounts)
}

/// The grants on the user's database for both accounts.
pub fn database_grants(names: &Names, app: &str, read: &str) -> impl Iterator<Item = String> {
    [database_grant(names, app, For::App), database_grant(names, read, For::Read)].into_iter()
}

fn database_grant(names: &Names, account: &str, purpose: For) -> String {
    let rights = if purpose == For::Read { READ_RIGHTS } else { APP_RIGHTS };
    format!("GRANT {rights} ON {}.* TO {account}", Names::pattern(&names.database))
}

async fn accounts_of(owner: &mut Owner, user: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = owner.session.rows("select host from mysql.user where user = ?", params![user]).await?;
    rows.iter().map(|row| Ok(account(user, &row.try_get::<String, _>(0)?))).collect()
}

/// Long, random, and of all kinds of characters, for servers that check passwords.
fn password() -> String {
    let mut random = [0; 24];
    rand::rng().fill_bytes(&mut random);
    format!("Kl-{}", hex::encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_end_at_the_users_database() {
        let names = Names::of("a_b").unwrap();
        let grants: Vec<_> = database_grants(&names, "'x'@'%'", "'y'@'%'").collect();
        assert!(grants[0].ends_with("DELETE HISTORY ON `a\\_b`.* TO 'x'@'%'"));
        assert_eq!(grants[1], "GRANT SELECT, SHOW VIEW ON `a\\_b`.* TO 'y'@'%'");
        assert_ne!(password(), password());
    }
}
