//! Decoded: the lines that the plugin `test_decoding` writes about row changes, taken apart.
//!
//! Neighbours: `follower` hands the lines over, `net` sums up what they say. The form is that of `contrib/test_decoding/test_decoding.c`, the same from
//! PostgreSQL 13 to 18.
//!
//! Invariant: names and values are recognised by their quotes, so that none can pass for another one or for a word of the form.

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A transaction begins: all that follows up to its end is of it, in the order in which it happened, without what was rolled back.
    Begin,
    /// It was committed.
    Commit,
    /// A message of this prefix.
    Message {
        /// Its prefix.
        prefix: &'a [u8],
        /// What it holds.
        content: &'a [u8],
    },
    /// Tables were emptied.
    Truncate(Vec<&'a [u8]>),
    /// A row was changed.
    Row(RowChange<'a>),
    /// What is not known here.
    Unknown,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It was inserted.
    Insert,
    /// It was updated.
    Update,
    /// It was deleted.
    Delete,
}

/// A changed row.
#[derive(Debug, PartialEq, Eq)]
pub struct RowChange<'a> {
    /// The table with its schema, quoted where needed.
    pub table: &'a [u8],
    /// What happened.
    pub happened: Happened,
    /// The old values of the columns that identify the row, where the line has them: of a DELETE, and of an UPDATE that changes one of them.
    pub old: Vec<Column<'a>>,
    /// The new values.
    pub new: Vec<Column<'a>>,
}

/// A column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name, quoted where needed.
    pub name: &'a [u8],
    /// Its type.
    pub kind: &'a [u8],
    /// Its value.
    pub value: Value<'a>,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Unchanged and stored apart from the row, so that the log does not repeat it.
    Unchanged,
    /// As the line has it, quotes included.
    Text(&'a [u8]),
}

/// Types whose values are never stored apart from their row, for they have a fixed length.
const FIXED: &[&[u8]] = &[
    b"integer",
    b"bigint",
    b"smallint",
    b"boolean",
    b"real",
    b"double precision",
    b"date",
    b"timestamp without time zone",
    b"timestamp with time zone",
    b"time without time zone",
    b"time with time zone",
    b"interval",
    b"uuid",
    b"money",
    b"macaddr",
    b"macaddr8",
    b"point",
    b"box",
    b"oid",
];

/// Types of variable length whose values are as long as their text, or shorter.
const AS_LONG_AS_TEXT: &[&[u8]] = &[b"text", b"character varying", b"character", b"numeric"];

/// The server stores a value apart only if it is longer than this, with a header of up to 4 bytes (`MAXALIGN(TOAST_POINTER_SIZE)` in its
/// `toast_helper.c`).
const NEVER_APART: usize = 24 - 4;

impl Column<'_> {
    /// Whether the log always holds this value. Where a value is stored apart, an update that leaves it as it is does not repeat it; and whether it
    /// is stored apart depends on the history of the row, which a node that was restored does not share.
    pub fn is_always_seen(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::Unchanged => false,
            Value::Text(text) => {
                FIXED.contains(&self.kind) || AS_LONG_AS_TEXT.contains(&self.kind) && text.len() <= NEVER_APART + 2
            }
        }
    }
}

/// Takes a line apart.
pub fn read(line: &[u8]) -> Line<'_> {
    if line == b"COMMIT" || line.starts_with(b"COMMIT ") {
        return Line::Commit;
    }
    if line == b"BEGIN" || line.starts_with(b"BEGIN ") {
        return Line::Begin;
    }
    let read = match line.strip_prefix(b"table ") {
        Some(rest) => table(rest),
        None => line.strip_prefix(b"message: transactional: 1 prefix: ").and_then(message),
    };
    read.unwrap_or(Line::Unknown)
}

/// `kluster, sz: 3 content:abc`: a prefix may hold anything, so the last place that fits is not asked for; the content's length decides.
fn message(rest: &[u8]) -> Option<Line<'_>> {
    let (size, content) = (find(rest, b", sz: ")?, find(rest, b" content:")?);
    let digits = rest.get(size + b", sz: ".len()..content)?;
    let bytes = rest.get(content + b" content:".len()..)?;
    let length = std::str::from_utf8(digits).ok()?.parse::<usize>().ok()?;
    (length == bytes.len()).then_some(Line::Message { prefix: &rest[..size], content: bytes })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn table(rest: &[u8]) -> Option<Line<'_>> {
    let mut tables = Vec::with_capacity(1);
    let mut cursor = Cursor(rest);
    loop {
        tables.push(cursor.qualified()?);
        if !cursor.skip(b", ") {
            break;
        }
    }
    if cursor.skip(b": TRUNCATE:") {
        return Some(Line::Truncate(tables));
    }
    let happened = if cursor.skip(b": INSERT:") {
        Happened::Insert
    } else if cursor.skip(b": UPDATE:") {
        Happened::Update
    } else if cursor.skip(b": DELETE:") {
        Happened::Delete
    } else {
        return None;
    };
    let mut change = RowChange { table: tables.first()?, happened, old: Vec::new(), new: Vec::new() };
    match happened {
        Happened::Delete => change.old = cursor.columns()?,
        Happened::Insert => change.new = cursor.columns()?,
        Happened::Update => {
            if cursor.skip(b" old-key:") {
                change.old = cursor.columns()?;
                if !cursor.skip(b" new-tuple:") {
                    return None;
                }
            }
            change.new = cursor.columns()?;
        }
    }
    cursor.0.is_empty().then_some(Line::Row(change))
}

/// What is left of a line.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn skip(&mut self, word: &[u8]) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The length of what is quoted at the beginning, both quotes included; doubled quotes are inside.
    fn quoted(text: &[u8], mark: u8) -> Option<usize> {
        let mut at = 1;
        loop {
            at += text.get(at..)?.iter().position(|byte| *byte == mark)? + 1;
            if text.get(at) != Some(&mark) {
                return Some(at);
            }
            at += 1;
        }
    }

    fn name_length(text: &[u8]) -> Option<usize> {
        match text.first()? {
            b'"' => Self::quoted(text, b'"'),
            _ => text.iter().position(|byte| matches!(byte, b'.' | b':' | b',' | b'[')),
        }
    }

    fn qualified(&mut self) -> Option<&'a [u8]> {
        let mut length = Self::name_length(self.0)?;
        while self.0.get(length) == Some(&b'.') {
            length += 1 + Self::name_length(self.0.get(length + 1..)?)?;
        }
        Some(self.take(length))
    }

    /// All columns up to the end or to the new values of an update.
    fn columns(&mut self) -> Option<Vec<Column<'a>>> {
        let mut columns = Vec::new();
        if self.skip(b" (no-tuple-data)") {
            return Some(columns);
        }
        while !self.0.is_empty() && !self.0.starts_with(b" new-tuple:") {
            if !self.skip(b" ") {
                return None;
            }
            let length = Self::name_length(self.0)?;
            let name = self.take(length);
            let kind = self.kind()?;
            columns.push(Column { name, kind, value: self.value()? });
        }
        Some(columns)
    }

    /// `[integer[]]:`
    fn kind(&mut self) -> Option<&'a [u8]> {
        if !self.skip(b"[") {
            return None;
        }
        let (mut at, mut depth) = (0, 0_usize);
        loop {
            match self.0.get(at)? {
                b'"' => {
                    at += Self::quoted(&self.0[at..], b'"')?;
                    continue;
                }
                b'[' => depth += 1,
                b']' if depth == 0 => break,
                b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        let kind = self.take(at);
        self.skip(b"]:").then_some(kind)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let length = match self.0 {
            [b'\'', ..] => Self::quoted(self.0, b'\'')?,
            [b'B', b'\'', ..] => 1 + Self::quoted(&self.0[1..], b'\'')?,
            text => text.iter().position(|byte| *byte == b' ').unwrap_or(text.len()),
        };
        Some(match self.take(length) {
            b"null" => Value::Null,
            b"unchanged-toast-datum" => Value::Unchanged,
            text => Value::Text(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column<'a>(name: &'a str, kind: &'a str, value: Value<'a>) -> Column<'a> {
        Column { name: name.as_bytes(), kind: kind.as_bytes(), value }
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.as_bytes())
    }

    fn row(line: &str) -> RowChange<'_> {
        match read(line.as_bytes()) {
            Line::Row(change) => change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_taken_apart_whatever_their_names_and_values() {
        let line = r#"table public."a: b.c": INSERT: id[integer]:1 "x [y]: z"[text]:'it''s: a[text]:''1''' n[numeric]:-1.5 b[bit]:B'101' l[integer[]]:'{1,2}' q["odd]"."ty""pe"[]]:null"#;
        let change = row(line);
        assert_eq!((change.table, change.happened), (&b"public.\"a: b.c\""[..], Happened::Insert));
        assert_eq!(
            change.new,
            [
                column("id", "integer", text("1")),
                column("\"x [y]: z\"", "text", text("'it''s: a[text]:''1'''")),
                column("n", "numeric", text("-1.5")),
                column("b", "bit", text("B'101'")),
                column("l", "integer[]", text("'{1,2}'")),
                column("q", "\"odd]\".\"ty\"\"pe\"[]", Value::Null),
            ]
        );
        let change = row(
            "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 \"new-tuple\"[text]:unchanged-toast-datum",
        );
        assert_eq!(change.old, [column("id", "integer", text("1"))]);
        assert_eq!(change.new[1], column("\"new-tuple\"", "text", Value::Unchanged));
        let change = row("table public.t: DELETE: (no-tuple-data)");
        assert_eq!((change.happened, change.old.len()), (Happened::Delete, 0));
        assert_eq!(
            row("table public.t: UPDATE: a[text]:'unchanged-toast-datum'").new[0].value,
            text("'unchanged-toast-datum'")
        );
    }

    #[test]
    fn the_other_lines() {
        assert_eq!(read(b"BEGIN"), Line::Begin);
        assert_eq!(read(b"COMMIT"), Line::Commit);
        assert_eq!(
            read(b"table public.a, s.\"B, c\": TRUNCATE: (no-flags)"),
            Line::Truncate(vec![b"public.a", b"s.\"B, c\""])
        );
        assert_eq!(
            read(b"message: transactional: 1 prefix: kluster, sz: 11 content:a content:b"),
            Line::Message { prefix: b"kluster", content: b"a content:b" }
        );
        for line in [
            "message: transactional: 1 prefix: kluster, sz: 9 content:abc",
            "message: transactional: 0 prefix: kluster, sz: 3 content:abc",
            "table public.t: INSERT: id[integer]",
            "table public.t: INSERT: id[integer]:'1",
            "table public.t: VACUUM:",
            "",
        ] {
            assert_eq!(read(line.as_bytes()), Line::Unknown, "{line}");
        }
    }

    #[test]
    fn values_that_may_be_stored_apart_are_told() {
        for (kind, value, always) in [
            ("integer", "1", true),
            ("text", "'12345678901234567890'", true),
            ("text", "'123456789012345678901'", false),
            ("numeric", "12345678901234567890", true),
            ("jsonb", "'{}'", false),
            ("public.mood", "'glad'", false),
        ] {
            assert_eq!(column("a", kind, text(value)).is_always_seen(), always, "{kind} {value}");
        }
    }
}
