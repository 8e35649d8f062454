//! Transaction: what stands between BEGIN and COMMIT is gathered here, and leaves as one request or not at all.

use super::{Session, Statement, output};
use crate::sql::trouble::{Kind, Trouble};
use kluster_admin::output::Tone;

/// What stands between BEGIN and COMMIT.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) statements: Vec<Statement>,
    /// A statement of a script was refused: without it the rest must not take effect.
    broken: bool,
}

impl Session {
    pub(super) fn begin(&mut self) -> Result<(), Trouble> {
        if self.gathered.is_some() {
            return Err(Trouble::new(Kind::Refused, "begin: a transaction is being gathered already")
                .hinted("commit; sends it, rollback; drops it"));
        }
        self.gathered = Some(Gathered::default());
        if !self.at_prompt {
            return Ok(());
        }
        let text = "gathering: commit; sends it all as one request, done as a whole or not at all; rollback; drops it.\n\
                    A SELECT here is executed in it, and its rows come with the commit.";
        self.screen.note(text, Tone::Faint).map_err(output)
    }

    pub(super) async fn commit(&mut self) -> Result<(), Trouble> {
        let Some(gathered) = self.gathered.take() else { return Err(nothing_gathered("commit")) };
        if gathered.broken {
            return Err(Trouble::new(
                Kind::Refused,
                "commit: a statement of this transaction was refused, so nothing of it was sent",
            ));
        }
        match gathered.statements.is_empty() {
            true => self.say("nothing was gathered, nothing was sent"),
            false => self.write(gathered.statements, true).await,
        }
    }

    pub(super) fn rollback(&mut self) -> Result<(), Trouble> {
        let Some(gathered) = self.gathered.take() else { return Err(nothing_gathered("rollback")) };
        let count = kluster_admin::show::count(gathered.statements.len(), "statement");
        self.say(&format!("{count} dropped, nothing was sent"))
    }

    /// A statement that was never sent.
    pub(super) fn refused_here(&mut self, trouble: Trouble, sql: &str, line: usize) -> Trouble {
        let mut trouble = trouble.in_statement(sql, line);
        if let Some(gathered) = &mut self.gathered {
            gathered.broken |= !self.at_prompt;
            let goes_on = if self.at_prompt { "it is not gathered; what was before it still is" } else { "" };
            let hint = [trouble.hint.take().unwrap_or_default(), goes_on.to_owned()];
            let hint: Vec<String> = hint.into_iter().filter(|part| !part.is_empty()).collect();
            trouble.hint = (!hint.is_empty()).then(|| hint.join("; "));
        }
        trouble
    }
}

fn nothing_gathered(word: &str) -> Trouble {
    Trouble::new(Kind::Refused, format!("{word}: no transaction is being gathered"))
        .hinted("every statement by itself is a transaction already; begin; gathers several into one")
}
