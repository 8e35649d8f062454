//! Where a PostgreSQL server is and as whom to log in: what a `postgres://` URL says.
//!
//! Neighbours: the node's `--dbms` setting gives the URL, `connection` uses the address.
//! Invariant: a password never appears in Debug output or in an error.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

/// PostgreSQL's registered port.
const DEFAULT_PORT: u16 = 5432;

/// Everything needed to open a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// By network or by socket file.
    pub host: Host,
    /// Also names the socket file.
    pub port: u16,
    /// The login's name.
    pub user: String,
    /// Absent where the server trusts the login (peer, trust).
    pub password: Option<String>,
    /// The database's name.
    pub database: String,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Settings of the session from its first moment on (`TimeZone`, `options`, …), in this order.
    pub parameters: Vec<(String, String)>,
}

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A host name or IP address.
    Tcp(String),
    /// The directory of the server's socket file.
    SocketDirectory(PathBuf),
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL at all.
    #[error("not a URL: {0}; write postgres://user:password@host:port/database")]
    NotAUrl(url::ParseError),
    /// Another scheme.
    #[error("scheme {0:?} is not PostgreSQL's; write postgres://user:password@host:port/database")]
    Scheme(String),
    /// PostgreSQL has no anonymous login.
    #[error("no user in the URL; write postgres://user:password@host:port/database")]
    NoUser,
    /// A part that is not a number, or not UTF-8 after %XX is decoded.
    #[error("the {0} in the URL cannot be read; check its %XX escapes and numbers")]
    Unreadable(&'static str),
    /// Encryption is asked for, and this connection has none.
    #[error(
        "sslmode={0} asks for TLS, which this connection does not speak yet; use a Unix socket \
         (?host=/var/run/postgresql) or a private network with sslmode=prefer"
    )]
    Tls(String),
    /// A query parameter that nobody would heed.
    #[error(
        "query parameter {0:?} is unknown; known are host, port, user, password, dbname, application_name, options, \
         sslmode"
    )]
    UnknownParameter(String),
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?host=/socket/directory&application_name=…`. Query parameters win over
    /// the parts before them, as in libpq.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = parse_url(text)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        let mut draft = Draft {
            host: decode(url.host_str().unwrap_or_default(), "host")?,
            port: url.port().unwrap_or(DEFAULT_PORT),
            user: decode(url.username(), "user")?,
            password: url.password().map(|password| decode(password, "password")).transpose()?,
            database: decode(url.path().trim_start_matches('/'), "database")?,
            application_name: "kluster".to_owned(),
            parameters: Vec::new(),
        };
        for (key, value) in url.query_pairs() {
            draft.set(&key, value)?;
        }
        draft.finish()
    }

    /// The same server and database as another login.
    pub fn with_login(&self, user: &str, password: Option<&str>) -> Self {
        Self { user: user.to_owned(), password: password.map(str::to_owned), ..self.clone() }
    }

    /// The same with one more setting of the session.
    pub fn with_parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The socket file in `directory` (the name is fixed by PostgreSQL).
    pub(crate) fn socket_file(&self, directory: &Path) -> PathBuf {
        directory.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Host and port, or the socket file: for messages.
    pub fn place(&self) -> String {
        match &self.host {
            Host::Tcp(host) => format!("{host}:{}", self.port),
            Host::SocketDirectory(directory) => self.socket_file(directory).display().to_string(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}/{}", self.user, self.place(), self.database)
    }
}

/// `url` refuses an empty host behind a user (`postgres://user@/database?host=/socket`), which libpq allows.
fn parse_url(text: &str) -> Result<Url, AddressError> {
    match Url::parse(text) {
        Err(url::ParseError::EmptyHost) => {
            Url::parse(&text.replacen("@/", "@localhost/", 1)).map_err(AddressError::NotAUrl)
        }
        other => other.map_err(AddressError::NotAUrl),
    }
}

fn decode(text: &str, part: &'static str) -> Result<String, AddressError> {
    percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| AddressError::Unreadable(part))
}

struct Draft {
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    database: String,
    application_name: String,
    parameters: Vec<(String, String)>,
}

impl Draft {
    fn set(&mut self, key: &str, value: Cow<'_, str>) -> Result<(), AddressError> {
        match key {
            "host" => self.host = value.into_owned(),
            "port" => self.port = value.parse().map_err(|_| AddressError::Unreadable("port"))?,
            "user" => self.user = value.into_owned(),
            "password" => self.password = Some(value.into_owned()),
            "dbname" => self.database = value.into_owned(),
            "application_name" => self.application_name = value.into_owned(),
            "options" => self.parameters.push(("options".to_owned(), value.into_owned())),
            "sslmode" => match value.as_ref() {
                "disable" | "allow" | "prefer" => {}
                _ => return Err(AddressError::Tls(value.into_owned())),
            },
            _ => return Err(AddressError::UnknownParameter(key.to_owned())),
        }
        Ok(())
    }

    fn finish(self) -> Result<Address, AddressError> {
        if self.user.is_empty() {
            return Err(AddressError::NoUser);
        }
        let host = match self.host {
            host if host.starts_with('/') => Host::SocketDirectory(PathBuf::from(host)),
            host if host.is_empty() => Host::Tcp("localhost".to_owned()),
            host => Host::Tcp(host.trim_matches(['[', ']']).to_owned()),
        };
        let database = if self.database.is_empty() { self.user.clone() } else { self.database };
        Ok(Address {
            host,
            port: self.port,
            user: self.user,
            password: self.password,
            database,
            application_name: self.application_name,
            parameters: self.parameters,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str) -> Host {
        Host::Tcp(host.to_owned())
    }

    #[test]
    fn every_part_is_read_and_decoded() {
        let address =
            Address::parse("postgres://jan:p%40ss%2Fw@db.example:6000/my%20db?application_name=a%20b").unwrap();
        assert_eq!(address.host, tcp("db.example"));
        assert_eq!(address.port, 6000);
        assert_eq!(address.user, "jan");
        assert_eq!(address.password.as_deref(), Some("p@ss/w"));
        assert_eq!(address.database, "my db");
        assert_eq!(address.application_name, "a b");
    }

    #[test]
    fn defaults_are_those_of_libpq() {
        let address = Address::parse("postgresql://jan@localhost").unwrap();
        assert_eq!((address.port, address.database.as_str(), address.password), (5432, "jan", None));
        assert_eq!(Address::parse("postgres://jan@[::1]:1/x").unwrap().host, tcp("::1"));
    }

    #[test]
    fn sockets_are_found_in_either_notation() {
        for url in [
            "postgres://jan@localhost/x?host=/run/pg&port=7",
            "postgres://jan@/x?host=/run/pg&port=7",
            "postgres:///x?host=/run/pg&port=7&user=jan",
            "postgres://jan@%2Frun%2Fpg:7/x",
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.host, Host::SocketDirectory("/run/pg".into()), "{url}");
            assert_eq!(address.place(), "/run/pg/.s.PGSQL.7", "{url}");
            assert_eq!((address.user.as_str(), address.database.as_str()), ("jan", "x"), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_heeded_is_refused() {
        let refused = |url| Address::parse(url).unwrap_err();
        assert_eq!(refused("mysql://a@b/c"), AddressError::Scheme("mysql".into()));
        assert_eq!(refused("postgres://b/c"), AddressError::NoUser);
        assert_eq!(refused("postgres://a@b/c?sslmode=require"), AddressError::Tls("require".into()));
        assert!(refused("postgres://a@b/c?sslmode=verify-full").to_string().contains("TLS"));
        assert_eq!(refused("postgres://a@b/c?colour=red"), AddressError::UnknownParameter("colour".into()));
        assert_eq!(refused("postgres://%ff@b/c"), AddressError::Unreadable("user"));
    }

    #[test]
    fn debug_hides_the_password() {
        let address = Address::parse("postgres://jan:secret@h/x").unwrap();
        assert_eq!(format!("{address:?}"), "postgres://jan@h:5432/x");
    }
}
