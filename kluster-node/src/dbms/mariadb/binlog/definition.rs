//! Definition: the table that the server writes into the log as text before the rows of a CREATE TABLE … SELECT.
//!
//! Neighbours: [`super::groups`] meets the text; [`super::computed`] keeps what it says. The text is the server's own, in the form of SHOW CREATE
//! TABLE: `CREATE TABLE [IF NOT EXISTS] name (definition, …) options`, all names quoted, each column's definition begins with its name.

/// A table as its text defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name, without the database's.
    pub name: String,
    /// How many columns users see.
    pub columns: usize,
    /// Positions from 0 on of those among them that the server computes.
    pub generated: Vec<usize>,
    /// It has a unique key by hash, and so a hidden column behind the others.
    pub hashed: bool,
}

impl Definition {
    /// Reads the text; `None` is another statement.
    pub fn of(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let outline = Outline::of(text.strip_prefix("CREATE TABLE ")?);
        let columns: Vec<_> = outline.parts.iter().filter(|part| part.starts_with(NAME)).collect();
        let is_generated = |part: &str| part.contains("GENERATED ALWAYS AS (");
        let generated = columns.iter().enumerate().filter(|(_, part)| is_generated(part)).map(|(at, _)| at).collect();
        let is_hashed = |part: &String| part.starts_with("UNIQUE ") && part.contains(" USING HASH");
        Some(Self {
            name: outline.name?,
            columns: columns.len(),
            generated,
            hashed: outline.parts.iter().any(is_hashed),
        })
    }
}

/// Stands for a quoted name, whatever it is.
const NAME: char = '`';

/// A text without what is quoted and without what is in inner parentheses.
#[derive(Debug, Default)]
struct Outline {
    /// The last name before the outermost parentheses.
    name: Option<String>,
    /// What is in them, cut at commas.
    parts: Vec<String>,
}

impl Outline {
    fn of(text: &str) -> Self {
        let mut outline = Self::default();
        let mut part = String::new();
        let mut depth = 0_usize;
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            match char {
                '`' | '\'' | '"' => {
                    let quoted = quoted(char, &mut rest);
                    match depth {
                        0 => outline.name = Some(quoted),
                        1 => part.push(char),
                        _ => {}
                    }
                    continue;
                }
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            match (depth, char) {
                (0, ')') | (1, ',') => outline.parts.push(std::mem::take(&mut part).trim().to_owned()),
                (1, '(' | ')') if part.is_empty() => {}
                (1, char) | (2, char @ '(') => part.push(char),
                _ => {}
            }
            if (depth, char) == (0, ')') {
                break;
            }
        }
        outline
    }
}

/// Reads on behind an opening quote to the closing one.
fn quoted(quote: char, rest: &mut std::str::Chars<'_>) -> String {
    let mut text = String::new();
    while let Some(char) = rest.next() {
        match char {
            char if char == quote => match rest.clone().next() {
                Some(next) if next == quote => text.extend(rest.next()),
                _ => break,
            },
            '\\' if quote != NAME => text.extend(rest.next()),
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_columns_are_those_that_the_definition_generates() {
        let text = "CREATE TABLE IF NOT EXISTS `d`.`a``(b` (\n  \
              `x,(` int(11) GENERATED ALWAYS AS (`n` + octet_length(')`,')) STORED COMMENT 'it''s \\', (',\n  \
              `generated always as (` decimal(10,2) NOT NULL DEFAULT 1.00 COMMENT 'GENERATED ALWAYS AS (',\n  \
              `v` varchar(10) /*M!100301 COMPRESSED*/ GENERATED ALWAYS AS (concat(`w`,'\n')) VIRTUAL,\n  \
              `since` timestamp(6) GENERATED ALWAYS AS ROW START,\n  \
              PRIMARY KEY (`x,(`),\n  UNIQUE KEY `w` (`w`) USING HASH,\n  CONSTRAINT `c` CHECK (`n` > 0)\n) ENGINE=InnoDB";
        let found = Definition::of(text.as_bytes());
        let expected = Definition { name: "a`(b".to_owned(), columns: 4, generated: vec![0, 2], hashed: true };
        assert_eq!(found, Some(expected));
        let plain = Definition::of(b"CREATE TABLE `t` (\n  `a` int(11) DEFAULT NULL,\n  UNIQUE KEY `a` (`a`)\n)");
        let expected = Definition { name: "t".to_owned(), columns: 1, generated: vec![], hashed: false };
        assert_eq!(plain, Some(expected));
        for other in ["", "CREATE TABLE ", "DROP TABLE `t`", "CREATE TABLE (", "BEGIN"] {
            assert_eq!(Definition::of(other.as_bytes()), None, "{other}");
        }
    }
}
