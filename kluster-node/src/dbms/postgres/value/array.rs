//! The text form of arrays: `{1,NULL,"a \"b\""}`, nested (PostgreSQL documentation 8.15.6).

use super::Cell;
use serde_json::Value;

/// PostgreSQL's MAXDIM.
const DEEPEST: usize = 6;

/// JSON arrays of elements made by `element`; `None` if the text is not an array whose indexes
/// begin at 1: a JSON array has no bounds, so one with others stays its text.
pub(super) fn parse(text: &str, delimiter: u8, element: &dyn Fn(&str) -> Cell) -> Option<Cell> {
    let mut parser = Parser { text, at: 0, delimiter, element };
    let value = parser.array(1)?;
    (parser.at == text.len()).then_some(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    delimiter: u8,
    element: &'a dyn Fn(&str) -> Cell,
}

impl Parser<'_> {
    fn array(&mut self, depth: usize) -> Option<Cell> {
        if depth > DEEPEST || !self.take(b'{') {
            return None;
        }
        let mut items = Vec::new();
        if self.take(b'}') {
            return Some(Cell::List(items));
        }
        loop {
            items.push(self.item(depth)?);
            if self.take(b'}') {
                return Some(Cell::List(items));
            }
            if !self.take(self.delimiter) {
                return None;
            }
        }
    }

    fn item(&mut self, depth: usize) -> Option<Cell> {
        match self.peek()? {
            b'{' => self.array(depth + 1),
            b'"' => self.quoted(),
            _ => self.bare(),
        }
    }

    fn quoted(&mut self) -> Option<Cell> {
        self.at += 1;
        let mut content = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(['"', '\\'])?;
            content.push_str(&rest[..plain]);
            self.at += plain + 1;
            if rest.as_bytes()[plain] == b'"' {
                return Some((self.element)(&content));
            }
            let escaped = self.text[self.at..].chars().next()?;
            content.push(escaped);
            self.at += escaped.len_utf8();
        }
    }

    fn bare(&mut self) -> Option<Cell> {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| byte == self.delimiter || byte == b'}')?;
        self.at += end;
        let content = &rest[..end];
        // Only the bare word is NULL; a text of these letters is quoted by the server.
        Some(if content == "NULL" { Cell::Plain(Value::Null) } else { (self.element)(content) })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn strings(text: &str) -> Option<Value> {
        read(parse(text, b',', &|element| Cell::Plain(json!(element))))
    }

    fn read(cell: Option<Cell>) -> Option<Value> {
        cell.map(|cell| serde_json::to_value(cell).unwrap())
    }

    #[test]
    fn elements_quotes_and_nulls() {
        assert_eq!(strings("{}"), Some(json!([])));
        assert_eq!(strings("{a,NULL,\"NULL\",\"\"}"), Some(json!(["a", null, "NULL", ""])));
        assert_eq!(strings(r#"{"a \"b\" \\ ,{}","ä"}"#), Some(json!([r#"a "b" \ ,{}"#, "ä"])));
        assert_eq!(strings("{{a,b},{c,d}}"), Some(json!([["a", "b"], ["c", "d"]])));
        assert_eq!(
            read(parse("{(1,2),(0,0);(3,4),(2,2)}", b';', &|e| Cell::Plain(json!(e)))),
            Some(json!(["(1,2),(0,0)", "(3,4),(2,2)"]))
        );
    }

    #[test]
    fn what_is_not_an_array_is_none() {
        for text in [
            "",
            "[0:1]={a,b}",
            "[1:1][-2:-1]={{a,b}}",
            "{",
            "{a",
            "a}",
            "{a}b",
            "{\"a}",
            "{a,,",
            "{\"a\\",
            "[0:1]",
            "{{{{{{{a}}}}}}}",
            "{\"a\"b}",
        ] {
            assert_eq!(strings(text), None, "{text}");
        }
    }
}
