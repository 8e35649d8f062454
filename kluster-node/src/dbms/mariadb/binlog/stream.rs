//! Stream: the connection over which the server sends its binary log, as to a replica.
//!
//! Neighbours: the follower reads it. By `mysql_async`, because `sqlx` has no command for it: the login, and the stream as raw events; what is in
//! them `event` reads, for that crate knows MySQL's events and not MariaDB's.
//!
//! Invariant: [`Stream::place`] is where the server goes on when it is asked again, or none.

use super::super::address::Address;
use futures_util::StreamExt;
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable;
use mysql_async::{
    BinlogStream, BinlogStreamRequest, ClientIdentity, Conn, DriverError, Error, Opts, OptsBuilder, Row, SslOpts,
};
use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// When nothing happens the server says so this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Nothing comes for so long: the server is away.
const SILENCE: Duration = Duration::from_secs(30);

/// One row may be as large as a packet of the server.
const MAX_PACKET: usize = 1 << 30;

/// The server may skip what it says only to newer replicas.
const IGNORABLE: u16 = 0x80;

const FORMAT_EVENT: u8 = 15;
const HEARTBEAT_EVENT: u8 = 27;

/// Set in the session before the log is asked for: this replica understands MariaDB's own events, and checksums.
const REPLICA: &str = "set @mariadb_slave_capability = 4, @master_binlog_checksum = @@global.binlog_checksum, @master_heartbeat_period = ";

/// Why the stream ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The server does not answer, or closed the connection.
    #[error("the server is away: {0}")]
    Away(String),
    /// What was asked for is not in the log any more.
    #[error("{0}")]
    Gone(String),
    /// The server does not let this login read its log.
    #[error("{0}")]
    Refused(String),
}

/// From where on the log is read.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// From this position in this file.
    Place(&'a str, u64),
    /// From where it ends now.
    End,
    /// From the beginning of the file that is written now.
    NewestFile,
}

/// The first event of a file, behind its mark.
const START_OF_FILE: u64 = 4;

/// The server's log, from a place on.
pub struct Stream {
    events: BinlogStream,
    file: String,
    position: Option<u64>,
    /// The format of the events has come; before it, it is not known that they end in a checksum.
    formatted: bool,
}

/// One event as it came.
pub struct Said {
    /// Its type.
    pub kind: u8,
    event: Event,
}

impl Said {
    /// What is behind its header, without a checksum.
    pub fn data(&self) -> &[u8] {
        self.event.data()
    }
}

impl Stream {
    /// Asks for the log from there on.
    pub async fn open(address: &Address, from: From<'_>) -> Result<Self, Ended> {
        let opened = timeout(SILENCE, Self::open_at(&address.login, from)).await;
        opened.map_err(|_| Ended::Away("no answer to the login".to_owned()))?.map_err(ended)
    }

    async fn open_at(login: &MySqlConnectOptions, from: From<'_>) -> Result<Self, Error> {
        let mut connection = connect(login).await?;
        connection.query_drop(format!("{REPLICA}{}", HEARTBEAT.as_nanos())).await?;
        let (file, position) = match from {
            From::Place(file, position) => (file.to_owned(), position),
            From::End => end_of_log(&mut connection).await?,
            From::NewestFile => (end_of_log(&mut connection).await?.0, START_OF_FILE),
        };
        // A number that no replica of this server has, for the server ends an older connection of the same number.
        let number = rand::random_range(1 << 31..u32::MAX);
        let request = BinlogStreamRequest::new(number).with_filename(file.as_bytes()).with_pos(position);
        let events = connection.get_binlog_stream(request).await?;
        Ok(Self { events, file, position: Some(position), formatted: false })
    }

    /// The next event.
    pub async fn next(&mut self) -> Result<Said, Ended> {
        let event = match timeout(SILENCE, self.events.next()).await {
            Err(_) => return Err(Ended::Away(format!("nothing came for {} s", SILENCE.as_secs()))),
            Ok(None) => return Err(Ended::Away("the server ended the stream".to_owned())),
            Ok(Some(event)) => event.map_err(ended)?,
        };
        let header = event.header();
        let end = u64::from(header.log_pos());
        let kind = match header.flags_raw() & IGNORABLE {
            0 => header.event_type_raw(),
            _ => HEARTBEAT_EVENT,
        };
        self.formatted |= kind == FORMAT_EVENT;
        if end != 0 && header.event_type_raw() != HEARTBEAT_EVENT {
            // In a file of more than 4 GiB the end is not known, for it has 32 bits.
            self.position = self.position.filter(|before| end >= *before).map(|_| end);
        }
        Ok(Said { kind, event })
    }

    /// The log goes on here. The first one says what was asked for.
    pub fn rotated(&mut self, file: String, position: u64) {
        if !self.formatted {
            return;
        }
        self.file = file;
        self.position = Some(position);
    }

    /// Behind the last event.
    pub fn place(&self) -> Option<(String, u64)> {
        self.position.filter(|position| *position <= u64::from(u32::MAX)).map(|position| (self.file.clone(), position))
    }
}

async fn end_of_log(connection: &mut Conn) -> Result<(String, u64), Error> {
    let row: Option<Row> = connection.query_first("show master status").await?;
    let end = row.and_then(|row| Some((row.get_opt(0)?.ok()?, row.get_opt(1)?.ok()?)));
    end.ok_or_else(|| Error::Other("the server writes no binary log".into()))
}

/// Logs in as `sqlx` does with the same settings.
async fn connect(login: &MySqlConnectOptions) -> Result<Conn, Error> {
    let (plain, tls) = options(login);
    let preferred = matches!(login.get_ssl_mode(), MySqlSslMode::Preferred);
    match tls {
        None => Conn::new(plain).await,
        Some(tls) => match Conn::new(tls).await {
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) if preferred => Conn::new(plain).await,
            connected => connected,
        },
    }
}

/// The login without and, where it is wanted, with TLS.
fn options(login: &MySqlConnectOptions) -> (Opts, Option<Opts>) {
    let url = login.to_url_lossy();
    let password = url.password().map(|password| percent_decode_str(password).decode_utf8_lossy().into_owned());
    let plain = OptsBuilder::default()
        .ip_or_hostname(login.get_host())
        .tcp_port(login.get_port())
        .user(Some(login.get_username()))
        .pass(password)
        .socket(login.get_socket().map(|path| path.display().to_string()))
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET))
        .wait_timeout(Some(usize::MAX));
    let said = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    // Named by its path, or given whole.
    let pem = |given: String| match given.starts_with("-----BEGIN") {
        true => given.into_bytes().into(),
        false => PathBuf::from(given).into(),
    };
    let mode = login.get_ssl_mode();
    let tls = match mode {
        MySqlSslMode::Disabled => None,
        _ if login.get_socket().is_some() => None,
        _ => {
            let verifies = matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity);
            let roots = said("ssl-ca").map(|ca| vec![pem(ca)]).unwrap_or_default();
            let identity = said("ssl-cert").zip(said("ssl-key"));
            let identity = identity.map(|(cert, key)| ClientIdentity::new(pem(cert), pem(key)));
            let tls = SslOpts::default()
                .with_root_certs(roots)
                .with_client_identity(identity)
                .with_danger_accept_invalid_certs(!verifies)
                .with_danger_skip_domain_validation(!matches!(mode, MySqlSslMode::VerifyIdentity));
            Some(Opts::from(plain.clone().ssl_opts(tls)))
        }
    };
    (Opts::from(plain), tls)
}

/// The server cannot send what was asked for.
const NOT_IN_LOG: u16 = 1236;
/// The login may not read the log: no such right, no such right on this server, no login.
const MAY_NOT: &[u16] = &[1044, 1045, 1227, 1698];

fn ended(error: Error) -> Ended {
    match error {
        Error::Server(error) if error.code == NOT_IN_LOG => Ended::Gone(format!(
            "the server's binary log does not go back to where it was read last ({}); effects are counted anew",
            error.message
        )),
        Error::Server(error) if MAY_NOT.contains(&error.code) => Ended::Refused(format!(
            "the server does not let the owner's login read its binary log ({}); GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* to it",
            error.message
        )),
        error => Ended::Away(error.to_string()),
    }
}
