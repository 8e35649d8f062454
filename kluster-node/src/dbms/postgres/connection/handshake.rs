//! The first messages of a session: who we are, the proof of it, and what the server tells about itself.
//!
//! Neighbours: `connection` calls [`log_in`] once per session.
//! Invariant: ends with the server's first ReadyForQuery, or with an error and a useless transport.

use std::collections::HashMap;

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use super::super::address::Address;
use super::super::error::{Error, PgError};
use super::reply::TransactionStatus;
use super::transport::{Incoming, Transport, not_understood};

/// What the server said before its first ReadyForQuery.
pub(super) struct Session {
    pub(super) process_id: i32,
    pub(super) secret_key: i32,
    /// `server_version`, `TimeZone`, … as reported; kept up to date by later ParameterStatus messages.
    pub(super) reported: HashMap<String, String>,
    pub(super) status: TransactionStatus,
}

/// Logs in over a fresh transport.
pub(super) async fn log_in(transport: &mut Transport, address: &Address) -> Result<Session, Error> {
    let fixed = [
        ("user", address.user.as_str()),
        ("database", &address.database),
        ("application_name", &address.application_name),
        ("client_encoding", "UTF8"),
    ];
    let extra = address.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    frontend::startup_message(fixed.into_iter().chain(extra), &mut transport.outgoing)
        .map_err(|error| login_failed(address, &format!("the address cannot be sent: {error}")))?;
    authenticate(transport, address).await?;
    greet(transport).await
}

async fn authenticate(transport: &mut Transport, address: &Address) -> Result<(), Error> {
    loop {
        match receive(transport).await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => send_password(transport, address, password(address)?)?,
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(address.user.as_bytes(), password(address)?, body.salt());
                send_password(transport, address, hash.as_bytes())?;
            }
            Message::AuthenticationSasl(body) => prove_by_scram(transport, address, &body).await?,
            Message::AuthenticationGss
            | Message::AuthenticationSspi
            | Message::AuthenticationKerberosV5
            | Message::AuthenticationScmCredential => {
                let reason = "the server asks for Kerberos, GSSAPI or SSPI; set scram-sha-256 (or peer) in pg_hba.conf";
                return Err(login_failed(address, reason));
            }
            _ => return Err(Error::Protocol("an unexpected message during the login".to_owned())),
        }
    }
}

/// RFC 7677, without channel binding because there is no TLS to bind to.
async fn prove_by_scram(
    transport: &mut Transport,
    address: &Address,
    offer: &AuthenticationSaslBody,
) -> Result<(), Error> {
    let mut mechanisms = offer.mechanisms();
    while mechanisms.next().map_err(not_understood)?.ok_or_else(|| {
        login_failed(address, "the server offers no SCRAM-SHA-256; set password_encryption and pg_hba.conf to it")
    })? != SCRAM_SHA_256
    {}
    let mut scram = ScramSha256::new(password(address)?, ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut transport.outgoing).map_err(not_understood)?;
    let Message::AuthenticationSaslContinue(body) = receive(transport).await? else {
        return Err(Error::Protocol("no SCRAM challenge where one was due".to_owned()));
    };
    scram.update(body.data()).map_err(|error| login_failed(address, &format!("SCRAM: {error}")))?;
    frontend::sasl_response(scram.message(), &mut transport.outgoing).map_err(not_understood)?;
    let Message::AuthenticationSaslFinal(body) = receive(transport).await? else {
        return Err(Error::Protocol("no SCRAM proof of the server where one was due".to_owned()));
    };
    scram
        .finish(body.data())
        .map_err(|error| login_failed(address, &format!("the server does not prove itself: {error}")))
}

async fn greet(transport: &mut Transport) -> Result<Session, Error> {
    let mut session =
        Session { process_id: 0, secret_key: 0, reported: HashMap::new(), status: TransactionStatus::Idle };
    loop {
        match receive(transport).await? {
            Message::BackendKeyData(body) => {
                session.process_id = body.process_id();
                session.secret_key = body.secret_key();
            }
            Message::ParameterStatus(body) => {
                let name = body.name().map_err(not_understood)?.to_owned();
                session.reported.insert(name, body.value().map_err(not_understood)?.to_owned());
            }
            Message::ReadyForQuery(body) => {
                session.status = TransactionStatus::from_byte(body.status())?;
                return Ok(session);
            }
            _ => return Err(Error::Protocol("an unexpected message after the login".to_owned())),
        }
    }
}

/// The next message; the server's refusal is the error.
async fn receive(transport: &mut Transport) -> Result<Message, Error> {
    loop {
        match transport.receive().await? {
            Incoming::Message(Message::NoticeResponse(_)) => {}
            Incoming::Message(Message::ErrorResponse(body)) => {
                let error = PgError::parse(body.fields()).map_err(not_understood)?;
                return Err(Error::SessionEnded(Box::new(error)));
            }
            Incoming::Message(message) => return Ok(message),
            Incoming::OversizedRow { .. } | Incoming::CopyBoth => {
                return Err(Error::Protocol("a row or a stream during the login".to_owned()));
            }
        }
    }
}

fn password(address: &Address) -> Result<&[u8], Error> {
    let missing = || login_failed(address, "the server asks for a password and the address has none");
    address.password.as_deref().map(str::as_bytes).ok_or_else(missing)
}

fn send_password(transport: &mut Transport, address: &Address, password: &[u8]) -> Result<(), Error> {
    frontend::password_message(password, &mut transport.outgoing)
        .map_err(|_| login_failed(address, "the password contains a zero byte"))
}

fn login_failed(address: &Address, reason: &str) -> Error {
    Error::Login { user: address.user.clone(), reason: reason.to_owned() }
}
