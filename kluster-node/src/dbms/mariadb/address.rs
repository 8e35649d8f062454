//! Address: where the server is, as whom to log in, and which database is the user's.
//!
//! Neighbours: [`super::owner`] logs in with it; when a privilege is missing it says what an administrator must run.

use super::names::{Names, account, identifier};
use super::server::unusable;
use super::{accounts, errors, schema};
use crate::dbms::OpenError;
use sqlx::mysql::MySqlConnectOptions;
use std::str::FromStr;

/// Missing privileges: on a database, of an account, on a table, of the server, on a routine, to grant.
const MISSING: &[u16] = &[1044, 1142, 1143, 1227, 1370, 1410, 1698];

/// Where the database is.
#[derive(Debug, Clone)]
pub struct Address {
    /// The owner's login.
    pub login: MySqlConnectOptions,
    /// Names on that server.
    pub names: Names,
}

impl Address {
    /// The address that a URL says: `mysql://user:password@host:port/database`, or `mariadb://`.
    pub fn of(url: &str) -> Result<Self, OpenError> {
        let login = login(url)?;
        let database = login.get_database().unwrap_or_default();
        let names = Names::of(database).map_err(OpenError::Unusable)?;
        Ok(Self { login, names })
    }

    /// Why the database cannot be opened, out of an error met while trying to `what`; with what an administrator must run if it is a
    /// missing privilege.
    pub fn refused(&self, what: &str, error: sqlx::Error) -> OpenError {
        let number = errors::number(&error);
        if number == Some(errors::ACCESS_DENIED) {
            return OpenError::Unusable(format!(
                "the server refuses the login of {:?}; check user and password in the address",
                self.login.get_username()
            ));
        }
        match number {
            Some(number) if MISSING.contains(&number) => OpenError::Unusable(format!(
                "the login {:?} may not {what} (error {number}). Either let it (GRANT ALL ON *.* … WITH GRANT OPTION), or let an \
                 administrator run the following, its passwords replaced, and give the two logins by --dbms-app and --dbms-read:\n{}",
                self.login.get_username(),
                self.administrator_sql()
            )),
            _ => unusable(what, error),
        }
    }

    /// What an administrator runs so that a login of few rights can own the database.
    fn administrator_sql(&self) -> String {
        let names = &self.names;
        let owner = account(self.login.get_username(), "%");
        let (app, read) = (account(&names.app, "%"), account(&names.read, "%"));
        let mut lines = vec![
            format!("CREATE DATABASE IF NOT EXISTS {};", identifier(&names.database)),
            format!("CREATE DATABASE IF NOT EXISTS {};", identifier(&names.state)),
            format!("GRANT ALL ON {}.* TO {owner};", Names::pattern(&names.database)),
            format!("GRANT ALL ON {}.* TO {owner} WITH GRANT OPTION;", Names::pattern(&names.state)),
            format!("GRANT PROCESS ON *.* TO {owner};"),
            format!(
                "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {owner}; -- to compare effects by the binary log"
            ),
            format!("CREATE USER {app} IDENTIFIED BY 'app-password';"),
            format!("CREATE USER {read} IDENTIFIED BY 'read-password';"),
        ];
        lines.extend(accounts::database_grants(names, &app, &read).map(|grant| grant + ";"));
        lines.push("SET GLOBAL enforce_storage_engine = InnoDB;".to_owned());
        lines.push(format!(
            "-- Kluster itself grants EXECUTE on its procedures ({}, {}).",
            schema::APP_PROCEDURES.join(", "),
            schema::READ_PROCEDURES.join(", ")
        ));
        lines.join("\n")
    }
}

/// A login that a URL says.
pub fn login(url: &str) -> Result<MySqlConnectOptions, OpenError> {
    // The driver's own error repeats the address, password and all.
    MySqlConnectOptions::from_str(url)
        .map_err(|_| OpenError::Unusable("the address must read mysql://user:password@host:port/database".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_database() {
        let address = Address::of("mariadb://o:p%40@h:3307/shop").unwrap();
        assert_eq!((address.login.get_host(), address.login.get_port()), ("h", 3307));
        assert_eq!(address.names.database, "shop");
        assert!(matches!(Address::of("mysql://h"), Err(OpenError::Unusable(text)) if text.contains("name one")));
        assert!(
            matches!(Address::of("mysql://u:secret@h:x/"), Err(OpenError::Unusable(text)) if !text.contains("secret"))
        );
    }

    #[test]
    fn what_an_administrator_runs_is_said() {
        let sql = Address::of("mysql://o:p@h/my_shop").unwrap().administrator_sql();
        assert!(sql.contains("GRANT SELECT, SHOW VIEW ON `my\\_shop`.* TO 'kluster_read_my_shop'@'%';"), "{sql}");
        assert!(sql.contains("GRANT PROCESS ON *.* TO 'o'@'%'"), "{sql}");
    }
}
