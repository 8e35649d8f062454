//! Whom a server runs as: ourselves, or an unprivileged account when we are root (PostgreSQL and MariaDB refuse root).

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::{During, ServerError};

/// An account of this machine that is not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// None when we are not root: then everything runs as ourselves. Else the first of `names` that exists.
    pub(crate) fn unprivileged(names: &[&str]) -> Result<Option<Self>, ServerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").during("reading /etc/passwd")?;
        match names.iter().find_map(|name| account_named(name, &passwd)) {
            Some(account) => Ok(Some(account)),
            None => Err(ServerError::Missing(format!(
                "a database server refuses to run as root, and none of the accounts {names:?} exists: make one, or test as another user"
            ))),
        }
    }

    /// Lets a command run as this account.
    pub(crate) fn runs(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives a file or directory (not what lies in it) to this account.
    pub(crate) fn owns(self, path: &Path) -> Result<(), ServerError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).during(format!("giving {} away", path.display()))
    }
}

/// The line `name:password:uid:gid:…` of /etc/passwd.
fn account_named(name: &str, passwd: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let mut ids = fields.skip(1);
        Some(Account { uid: ids.next()?.parse().ok()?, gid: ids.next()?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7::/:/bin/sh\npostgres:x:101:104:PostgreSQL:/var:/bin/sh\n";
        assert_eq!(account_named("postgres", passwd), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(account_named("mysql", passwd), None);
    }
}
