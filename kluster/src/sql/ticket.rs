//! Ticket: what names a request whose outcome is open, so that it can be asked again and is executed once: at the prompt by `\retry`, from a
//! shell by `--retry`.

use kluster_client::{ClientId, MessageId, Offset, Ticket};
use std::fmt;
use std::str::FromStr;

/// A ticket and the sender that it belongs to: `clientId/messageId@sinceOffset`, the last part only where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentTicket {
    /// The sender: with the id it is the key under which a request takes effect once.
    pub client_id: ClientId,
    /// The request.
    pub ticket: Ticket,
}

impl fmt::Display for SentTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client_id, self.ticket.message_id)?;
        self.ticket.since_offset.map_or(Ok(()), |since| write!(f, "@{since}"))
    }
}

impl FromStr for SentTicket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no ticket like client-1/request-1@42: copy the one that was printed");
        let (ids, since) = match text.rsplit_once('@') {
            Some((ids, since)) => (ids, Some(since.parse::<u64>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (client, message) = ids.rsplit_once('/').ok_or_else(wrong)?;
        if client.is_empty() || message.is_empty() {
            return Err(wrong());
        }
        let ticket = Ticket { message_id: MessageId::new(message), since_offset: since.map(Offset::new) };
        Ok(Self { client_id: ClientId::new(client), ticket })
    }
}

/// A request that was sent and whose outcome is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// What names it.
    pub sent: SentTicket,
    /// Its statements; more than one, or `list`: a transaction.
    pub statements: Vec<String>,
    /// It was sent as a list of statements.
    pub list: bool,
}

impl OpenRequest {
    /// What to do to find out.
    pub fn way_out(&self, at_prompt: bool) -> String {
        let again = format!("kluster sql --retry '{}' with the same SQL", self.sent);
        match at_prompt {
            true => format!("\\retry asks again, and it is executed once; so does, from a shell,\n  {again}"),
            false => format!("this asks again, and it is executed once:\n  {again}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_read_as_they_are_written() {
        for text in ["client-1/m1@42", "client-1/m1", "a/b/m1@0"] {
            assert_eq!(text.parse::<SentTicket>().unwrap().to_string(), text);
        }
        let sent: SentTicket = "a/b/m1@7".parse().unwrap();
        assert_eq!((sent.client_id.as_str(), sent.ticket.message_id.as_str()), ("a/b", "m1"));
        for text in ["", "m1", "/m1", "c/", "c/m@x", "c/m@-1"] {
            assert!(text.parse::<SentTicket>().unwrap_err().contains("is no ticket"), "{text}");
        }
    }
}
