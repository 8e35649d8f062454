//! Place: a line of what was typed, with a caret below the character that is to blame. No I/O.

/// So many characters of a long line are shown on either side of the caret.
const AROUND: usize = 50;

/// A line of what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 1.
    pub line: usize,
    /// The character of the line, from 1, where one is to blame.
    pub column: Option<usize>,
    shown: String,
    /// How many characters of `shown` stand before the caret.
    caret: Option<usize>,
}

impl Place {
    /// The line of `statement` with its character `position` (from 1), or its first one. `first_line` is where the statement begins.
    pub fn of(statement: &str, position: Option<usize>, first_line: usize) -> Self {
        let before = position.map_or(0, |position| position.saturating_sub(1));
        let (mut lines_before, mut column) = (0, 0);
        for character in statement.chars().take(before) {
            match character {
                '\n' => (lines_before, column) = (lines_before + 1, 0),
                _ => column += 1,
            }
        }
        let text: Vec<char> = statement.split('\n').nth(lines_before).unwrap_or_default().trim_end().chars().collect();
        let caret = position.map(|_| column);
        let (shown, caret) = window(&text, caret);
        Self { line: first_line + lines_before, column: position.map(|_| column + 1), shown, caret }
    }

    /// The line, and the caret below it.
    pub fn text(&self) -> String {
        let head = format!("  line {}: ", self.line);
        match self.caret {
            None => format!("{head}{}", self.shown),
            Some(caret) => {
                let blanks: usize = head.len() + width(&self.shown, caret);
                format!("{head}{}\n{}^", self.shown, " ".repeat(blanks))
            }
        }
    }
}

/// What of a line is shown, and where in it the caret stands.
fn window(line: &[char], caret: Option<usize>) -> (String, Option<usize>) {
    let middle = caret.unwrap_or(0).min(line.len());
    let (from, to) = (middle.saturating_sub(AROUND), (middle + AROUND).min(line.len()));
    // A few characters more are no reason to cut.
    let from = if from <= 3 { 0 } else { from };
    let to = if line.len() - to <= 3 { line.len() } else { to };
    let mut shown = String::new();
    shown.extend((from > 0).then_some('…'));
    // Control characters would move the terminal's cursor or change its colours.
    shown.extend(line[from..to].iter().map(|c| if c.is_control() { ' ' } else { *c }));
    shown.extend((to < line.len()).then_some('…'));
    (shown, caret.map(|_| middle - from + usize::from(from > 0)))
}

/// How many columns the first `count` characters take on a terminal.
fn width(text: &str, count: usize) -> usize {
    let before: String = text.chars().take(count).collect();
    unicode_width::UnicodeWidthStr::width(before.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_character() {
        let place = Place::of("select *\n  from persn\nwhere true", Some(17), 4);
        assert_eq!(place.text(), "  line 5:   from persn\n                 ^");
        assert_eq!((place.line, place.column), (5, Some(8)));
    }

    #[test]
    fn without_a_position_the_statement_s_first_line_is_shown() {
        let place = Place::of("insert into t\nvalues (1)", None, 7);
        assert_eq!((place.text().as_str(), place.column), ("  line 7: insert into t", None));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("select {} from persn where {}", "a, ".repeat(100), "b and ".repeat(100));
        let at = line.find("persn").unwrap() + 1;
        let text = Place::of(&line, Some(at), 1).text();
        let (shown, caret) = text.split_once('\n').unwrap();
        assert!(shown.chars().count() < 130, "{shown}");
        let column = caret.find('^').unwrap();
        let below: String = shown.chars().skip(column).take(5).collect();
        assert_eq!(below, "persn");
    }

    #[test]
    fn wide_characters_and_tabs_keep_the_caret_in_place() {
        let text = Place::of("select\t'日本' frm", Some(13), 1).text();
        assert_eq!(text, "  line 1: select '日本' frm\n                        ^");
    }

    #[test]
    fn a_position_behind_the_end_stands_at_the_end() {
        let place = Place::of("select", Some(7), 1);
        assert_eq!(place.text(), "  line 1: select\n                ^");
        assert_eq!(Place::of("", Some(9), 1).text(), "  line 1: \n          ^");
    }
}
