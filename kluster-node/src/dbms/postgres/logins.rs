//! Logins: the two roles beside the owner's, the one that executes users' writes and the one that executes reads, and what they may do.
//!
//! Neighbours: `seat` calls this with the owner's session at every start and reconnect. Roles belong to the whole server, so their names
//! hold the database's name.
//!
//! Invariants: the owner is a member of both, never the reverse; neither is an administrator; where the node makes them, their passwords are
//! fresh at every start and reconnect (a user's SQL may alter its own login) and are never sent in clear text.

use super::address::Address;
use super::connection::{Connection, NO_PARAMS};
use super::error::Error;
use super::pins;
use crate::dbms::{DbmsSettings, OpenError};
use postgres_protocol::password::scram_sha_256;
use sha2::{Digest, Sha256};

/// PostgreSQL cuts names at this many bytes (`NAMEDATALEN` - 1).
const LONGEST_NAME: usize = 63;

/// The two logins, and how to reach the server as them.
#[derive(Debug, Clone)]
pub struct Logins {
    /// Executes users' writes; owns what they make.
    pub app: Address,
    /// Executes reads of ONE.
    pub read: Address,
    /// The node makes the roles and their passwords itself.
    made_here: bool,
}

impl Logins {
    /// What the settings say: logins given by hand, or names of our own.
    pub fn of(settings: &DbmsSettings, owner: &Address) -> Result<Self, OpenError> {
        let bare = Address { parameters: Vec::new(), ..owner.clone() };
        match (&settings.app_url, &settings.read_url) {
            (None, None) => Ok(Self {
                app: bare.with_login(&role_name("app", &owner.database), None),
                read: bare.with_login(&role_name("read", &owner.database), None),
                made_here: true,
            }),
            (Some(app), Some(read)) => {
                let (app, read) = (by_hand(app, &bare, "--dbms-app")?, by_hand(read, &bare, "--dbms-read")?);
                let mut names = [&app.user, &read.user, &owner.user];
                names.sort();
                if names.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(OpenError::Unusable(
                        "the logins of --dbms, --dbms-app and --dbms-read must be three different roles".into(),
                    ));
                }
                Ok(Self { app, read, made_here: false })
            }
            _ => Err(OpenError::Unusable("give both --dbms-app and --dbms-read, or neither".into())),
        }
    }

    /// Makes the roles if they are missing, and makes sure that they are what they must be.
    pub async fn ensure(&self, owner: &mut Connection) -> Result<(), OpenError> {
        let may = Rights::of(owner).await?;
        for role in [&self.app.user, &self.read.user] {
            let found = question(owner, "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls from pg_catalog.pg_roles where rolname = $1", role).await?;
            match found.as_deref() {
                Some("f") => {}
                Some(_) => {
                    return Err(OpenError::Unusable(format!(
                        "role {role} is an administrator; users' SQL must not be one: alter role {} nosuperuser nocreaterole nocreatedb noreplication nobypassrls",
                        quoted(role)
                    )));
                }
                None if self.made_here && may.create_roles => {
                    owner.execute_script(&format!("create role {} login", quoted(role))).await.map_err(unusable)?;
                }
                None => {
                    return Err(self
                        .ask_administrator(owner, &format!("role {role} does not exist and this login may not make it"))
                        .await);
                }
            }
            let member = question(owner, "select pg_catalog.pg_has_role(current_user, $1, 'usage')", role).await?;
            if member.as_deref() != Some("t") {
                let granted = owner.execute_script(&format!("grant {} to current_user", quoted(role))).await;
                if let Err(Error::Server(_)) = granted {
                    return Err(self
                        .ask_administrator(owner, &format!("this login is no member of role {role}"))
                        .await);
                }
                granted.map_err(unusable)?;
            }
        }
        Ok(())
    }

    /// Takes back what users' SQL may have done to its own login, and sets fresh passwords.
    pub async fn refresh(&mut self, owner: &mut Connection) -> Result<(), OpenError> {
        let may = Rights::of(owner).await?;
        if !self.made_here && !may.create_roles {
            return Ok(());
        }
        let database = quoted(&self.app.database);
        for address in [&mut self.app, &mut self.read] {
            let role = quoted(&address.user);
            let mut script =
                format!("alter role {role} reset all; alter role {role} in database {database} reset all;");
            for (name, value, _) in pins::SUPERUSERS.iter().filter(|_| may.superuser) {
                script += &format!("alter role {role} set {name} = {};", literal(value));
            }
            if self.made_here {
                let password = hex::encode(rand::random::<[u8; 24]>());
                let verifier = scram_sha_256(password.as_bytes());
                script += &format!("alter role {role} with login password {};", literal(&verifier));
                address.password = Some(password);
            }
            owner.execute_script(&script).await.map_err(unusable)?;
        }
        Ok(())
    }

    /// Gives the roles what they need, on what exists and on what users will make, and nothing of Kluster's own but its functions.
    pub async fn grant(&self, owner: &mut Connection) -> Result<(), OpenError> {
        owner.execute_script(&self.grants()).await.map_err(unusable)?;
        let fenced = owner.execute_script(FENCE_SESSIONS).await;
        if let Err(Error::Server(error)) = &fenced {
            // Without it user SQL can end sessions of its own role only, which are ours; the node then recovers.
            tracing::warn!(
                sqlstate = error.sqlstate,
                "EXECUTE on pg_terminate_backend and pg_cancel_backend could not be revoked from PUBLIC"
            );
        } else {
            fenced.map_err(unusable)?;
        }
        let app = &self.app.user;
        let may = "select pg_catalog.has_database_privilege($1, pg_catalog.current_database(), 'create') \
                   and coalesce((select pg_catalog.has_schema_privilege($1, oid, 'create') from pg_catalog.pg_namespace where nspname = 'public'), true)";
        match question(owner, may, app).await?.as_deref() {
            Some("t") => Ok(()),
            _ => {
                Err(self.ask_administrator(owner, &format!("role {app} may not create tables in this database")).await)
            }
        }
    }

    fn grants(&self) -> String {
        let (app, read, database) = (quoted(&self.app.user), quoted(&self.read.user), quoted(&self.app.database));
        let foreign =
            FOREIGN_OBJECTS.replace("{app}", &literal(&self.app.user)).replace("{read}", &literal(&self.read.user));
        format!(
            "grant usage on schema kluster_state to {app}, {read};
             grant execute on function kluster_state.claim, kluster_state.finish, kluster_state.schema_changed to {app};
             grant execute on function kluster_state.held to {read};
             grant connect, create on database {database} to {app};
             grant connect on database {database} to {read};
             alter default privileges for role {app} grant usage on schemas to {read};
             alter default privileges for role {app} grant select on tables to {read};
             alter default privileges for role {app} grant select on sequences to {read};
             {foreign}"
        )
    }

    async fn ask_administrator(&self, owner: &mut Connection, why: &str) -> OpenError {
        let owner = match question(owner, "select current_user::text where $1 = $1", "").await {
            Ok(Some(user)) => quoted(&user),
            _ => "…".to_owned(),
        };
        let (app, read, database) = (quoted(&self.app.user), quoted(&self.read.user), quoted(&self.app.database));
        OpenError::Unusable(format!(
            "{why}. Let an administrator run, in this database:\n\
             create role {app} login; create role {read} login;\n\
             grant {app}, {read} to {owner};\n\
             grant create, connect on database {database} to {owner}, {app}; grant connect on database {database} to {read};\n\
             grant usage, create on schema public to {app}; grant usage on schema public to {read};\n\
             revoke execute on function pg_catalog.pg_cancel_backend from public; revoke execute on function pg_catalog.pg_terminate_backend from public;\n\
             grant execute on function pg_catalog.pg_terminate_backend to {owner};\n\
             let both log in without a password (peer or certificate, pg_hba.conf), and name them by --dbms-app and --dbms-read; \
             or give this login CREATEROLE and the right to grant the above"
        ))
    }
}

/// A user's SQL ends no session but by an error of its own. Only a superuser may change this.
const FENCE_SESSIONS: &str = "
    revoke execute on function pg_catalog.pg_terminate_backend from public;
    revoke execute on function pg_catalog.pg_cancel_backend from public;
    grant execute on function pg_catalog.pg_terminate_backend to current_user;
    grant execute on function pg_catalog.pg_cancel_backend to current_user;";

/// Objects that were there before Kluster, or that another role made: users' SQL may use them (but not alter them, which only their owner may),
/// and reads may read them. What users' SQL made itself is left as it is, for its rights may have been changed through the log.
const FOREIGN_OBJECTS: &str = include_str!("foreign.sql");

/// What the owner's login may do.
struct Rights {
    create_roles: bool,
    superuser: bool,
}

impl Rights {
    async fn of(owner: &mut Connection) -> Result<Self, OpenError> {
        let sql = "select rolsuper or rolcreaterole, rolsuper from pg_catalog.pg_roles where rolname = current_user";
        let rows = owner.query(sql, NO_PARAMS).await.map_err(unusable)?;
        let is = |n| rows.rows.first().and_then(|row| row.text(n)).as_deref() == Some("t");
        Ok(Self { create_roles: is(0), superuser: is(1) })
    }
}

/// The first cell of the answer, if there is one.
async fn question(owner: &mut Connection, sql: &str, param: &str) -> Result<Option<String>, OpenError> {
    let rows = owner.query(sql, [Some(param)]).await.map_err(unusable)?;
    Ok(rows.rows.first().and_then(|row| row.text(0)).map(std::borrow::Cow::into_owned))
}

/// An error of the owner's session while it prepares the database.
pub fn unusable(error: Error) -> OpenError {
    match error {
        Error::Server(error) if error.sqlstate == "55P03" => {
            OpenError::Unreachable(format!("another session holds a lock: {}", error.message))
        }
        Error::Server(error) => OpenError::Unusable(format!("{} ({})", error.message, error.sqlstate)),
        Error::SessionEnded(error) if matches!(error.sqlstate.get(..2), Some("28" | "3D" | "42" | "0A" | "22")) => {
            OpenError::Unusable(format!("{} ({})", error.message, error.sqlstate))
        }
        error @ Error::Login { .. } => OpenError::Unusable(error.to_string()),
        error => OpenError::Unreachable(error.to_string()),
    }
}

fn by_hand(url: &str, base: &Address, setting: &str) -> Result<Address, OpenError> {
    let address = Address::parse(url).map_err(|error| OpenError::Unusable(format!("{setting}: {error}")))?;
    if address.password.is_some() {
        return Err(OpenError::Unusable(format!(
            "{setting} holds a password, which users' SQL could change; let the role log in without one (peer or certificate)"
        )));
    }
    if address.database != base.database {
        return Err(OpenError::Unusable(format!("{setting} names another database than --dbms")));
    }
    Ok(Address { application_name: base.application_name.clone(), parameters: Vec::new(), ..address })
}

/// `kluster_app_<database>`; a name too long for PostgreSQL ends in a hash instead.
fn role_name(kind: &str, database: &str) -> String {
    let name = format!("kluster_{kind}_{database}");
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let hash = hex::encode(&Sha256::digest(database)[..8]);
    let room = LONGEST_NAME - hash.len() - 1;
    let cut = (0..=room).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    format!("{}_{hash}", &name[..cut])
}

/// A name as SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL (`standard_conforming_strings` is on).
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(app: Option<&str>, read: Option<&str>) -> DbmsSettings {
        let (app_url, read_url) = (app.map(str::to_owned), read.map(str::to_owned));
        DbmsSettings { app_url, read_url, ..DbmsSettings::at("postgres://own@h/shop", "n1") }
    }

    fn logins(app: Option<&str>, read: Option<&str>) -> Result<Logins, OpenError> {
        Logins::of(&settings(app, read), &Address::parse("postgres://own:pw@h/shop").unwrap())
    }

    #[test]
    fn roles_are_named_after_the_database() {
        assert_eq!(logins(None, None).unwrap().app.user, "kluster_app_shop");
        let (long, other) = (role_name("read", &"é".repeat(31)), role_name("read", &format!("{}a", "é".repeat(30))));
        assert!(long.len() <= LONGEST_NAME && long.starts_with("kluster_read_é"));
        assert_ne!(long, other);
    }

    #[test]
    fn logins_given_by_hand_have_no_password_and_are_three() {
        assert!(logins(Some("postgres://a@h/shop"), Some("postgres://r@h/shop")).is_ok());
        for (app, read) in [
            (Some("postgres://a:pw@h/shop"), Some("postgres://r@h/shop")),
            (Some("postgres://a@h/shop"), Some("postgres://a@h/shop")),
            (Some("postgres://own@h/shop"), Some("postgres://r@h/shop")),
            (Some("postgres://a@h/other"), Some("postgres://r@h/shop")),
            (Some("postgres://a@h/shop"), None),
        ] {
            assert!(matches!(logins(app, read), Err(OpenError::Unusable(_))), "{app:?} {read:?}");
        }
    }

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
    }
}
