//! The client's address: `kafka://host:9092,host2:9092/database?prefix=eu-`.

use crate::ClientError;
use kluster_log::LogSettings;

/// Reads an address. The hosts are checked by the log.
pub(crate) fn parse(address: &str) -> Result<LogSettings, ClientError> {
    let wrong = |what: &str| {
        ClientError::Invalid(format!(
            "{address:?} is no address: {what}; expected kafka://host:port,…[/database][?prefix=…], for example kafka://localhost:9092"
        ))
    };
    let rest = address.strip_prefix("kafka://").unwrap_or(address);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    if hosts.is_empty() || rest.contains("://") {
        return Err(wrong("it names no host"));
    }
    let mut settings = LogSettings::at(hosts);
    if !database.is_empty() {
        settings.database = database.parse().map_err(|error| wrong(&format!("{error}")))?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("prefix", prefix)) => prefix.clone_into(&mut settings.topic_prefix),
            _ => return Err(wrong(&format!("{pair:?} is unknown, there is only prefix=…"))),
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, hosts, database, prefix) in [
            ("kafka://localhost:9092", "localhost:9092", "main", ""),
            ("localhost:9092", "localhost:9092", "main", ""),
            ("kafka://a:1,b:2/", "a:1,b:2", "main", ""),
            ("kafka://a:1,b:2/shop?prefix=eu-", "a:1,b:2", "shop", "eu-"),
            ("kafka://a:1?prefix=eu-", "a:1", "main", "eu-"),
        ] {
            let settings = parse(address).unwrap();
            let read = (settings.bootstrap.as_str(), settings.database.as_str(), settings.topic_prefix.as_str());
            assert_eq!(read, (hosts, database, prefix), "{address}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (address, part) in [
            ("kafka://", "names no host"),
            ("http://a:1", "names no host"),
            ("kafka://a:1/Shop", "no name for a database"),
            ("kafka://a:1?colour=red", "there is only prefix"),
        ] {
            let error = parse(address).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
