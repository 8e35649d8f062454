//! Dialect: whose SQL a cluster speaks, as its heartbeats say, or as a person says.

use crate::error::AdminError;
use crate::nodes::Nodes;
use kluster_sql::Dialect;

/// A dialect by the name that a person types.
pub fn parse_dialect(text: &str) -> Result<Dialect, String> {
    match text.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => Ok(Dialect::Postgres),
        "mariadb" | "mysql" => Ok(Dialect::MariaDb),
        "sqlite" => Ok(Dialect::Sqlite),
        _ => Err(format!("{text:?} is none of postgres, mariadb, sqlite")),
    }
}

/// The dialect of the nodes' DBMS.
pub fn dialect_of(nodes: &Nodes) -> Result<Dialect, AdminError> {
    let expected = nodes.expected();
    let heard = nodes
        .heard()
        .filter(|(node, _)| expected.contains(node))
        .map(|(node, heard)| (node, heard.heartbeat.dbms.as_str()));
    let mut found: Option<(&kluster_protocol::NodeId, &str)> = None;
    for (node, dbms) in heard {
        match found {
            Some((other, its)) if its != dbms => {
                return Err(AdminError::Refused(format!(
                    "{other} runs {its} and {node} runs {dbms}: say with --dialect whose SQL the script is written in"
                )));
            }
            _ => found = Some((node, dbms)),
        }
    }
    let Some((node, dbms)) = found else {
        return Err(AdminError::Refused(
            "no node was ever heard of: start one with kluster-node, or say with --dialect whose SQL the script is written in".to_owned(),
        ));
    };
    let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.name().eq_ignore_ascii_case(dbms));
    dialect.ok_or_else(|| {
        AdminError::Refused(format!(
            "{node} runs {dbms}, which this kluster-admin does not know: say with --dialect whose SQL it is nearest to"
        ))
    })
}
