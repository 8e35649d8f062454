//! Edits: pieces of text that the rule set puts into a statement, and where each place of the edited text comes from.
//!
//! Neighbours: `order` makes a statement's order total by edits, `admit` blanks CONCURRENTLY out, `bound` fences values.
//!
//! Invariants
//! 1. An edited text holds every token of the text as it was written, in its order, except those that an edit replaces.
//! 2. [`Edits::place`] of a place in an untouched part is exact; a place inside an edit is the place that the edit blames.

/// One change of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The bytes that are replaced; empty: `text` is put in front of the byte `start`.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What comes in their place.
    pub(crate) text: String,
    /// The byte of the text as written that an error inside `text` is about.
    pub(crate) blame: usize,
}

impl Edit {
    /// Puts `text` in front of the byte `at`.
    pub(crate) fn insert(at: usize, text: impl Into<String>, blame: usize) -> Self {
        Self { start: at, end: at, text: text.into(), blame }
    }
}

/// Where the places of an edited text come from. Of several passes, each edits the text of the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    passes: Vec<Vec<Spot>>,
}

/// One edit, in characters of the text before it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    start: u32,
    end: u32,
    length: u32,
    blame: u32,
}

impl Edits {
    /// The text with these edits, and its places. Edits at one byte keep their order.
    pub(crate) fn apply(sql: &str, mut edits: Vec<Edit>) -> (String, Self) {
        edits.sort_by_key(|edit| edit.start);
        let mut places = Places { sql, byte: 0, character: 0 };
        let mut text = String::with_capacity(sql.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
        let mut copied = 0;
        let mut spots = Vec::with_capacity(edits.len());
        for Edit { start, end, text: inserted, blame } in edits {
            debug_assert!(copied <= start && start <= end, "edits do not overlap");
            text.push_str(&sql[copied..start]);
            text.push_str(&inserted);
            copied = end;
            let (start, end) = (places.of(start), places.of(end));
            spots.push(Spot { start, end, length: characters(&inserted), blame: characters(&sql[..blame]) });
        }
        text.push_str(&sql[copied..]);
        (text, Self { passes: if spots.is_empty() { Vec::new() } else { vec![spots] } })
    }

    /// These edits, and those of a pass over the text that they made.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.passes.extend(next.passes);
        self
    }

    /// Whether nothing was edited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passes.is_empty()
    }

    /// The place in the text as it was written that `position` in the edited text means, both in characters from 1.
    #[must_use]
    pub fn place(&self, position: u32) -> u32 {
        self.passes.iter().rev().fold(position, |position, spots| before(spots, position))
    }
}

/// The place before one pass.
fn before(spots: &[Spot], position: u32) -> u32 {
    // How far the edits so far have moved what follows them.
    let (mut inserted, mut removed) = (0_u32, 0_u32);
    let place = position.saturating_sub(1);
    for spot in spots {
        let start = spot.start - removed + inserted;
        if place < start {
            break;
        }
        if place < start + spot.length {
            return spot.blame + 1;
        }
        inserted += spot.length;
        removed += spot.end - spot.start;
    }
    (place + removed).saturating_sub(inserted) + 1
}

/// Counts the characters before rising bytes of a text, each once.
struct Places<'a> {
    sql: &'a str,
    byte: usize,
    character: u32,
}

impl Places<'_> {
    fn of(&mut self, byte: usize) -> u32 {
        self.character += characters(&self.sql[self.byte..byte]);
        self.byte = byte;
        self.character
    }
}

fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_untouched_text_are_exact_and_those_of_an_edit_are_what_it_blames() {
        let sql = "é abc def ghi";
        let at = |part: &str| sql.find(part).unwrap();
        let edits = vec![
            Edit::insert(at(" ghi"), "+ü", at("def")),
            Edit { start: at("abc"), end: at(" def"), text: "x".to_owned(), blame: at("abc") },
            Edit::insert(at(" ghi"), "+2", at("ghi")),
        ];
        let (text, places) = Edits::apply(sql, edits);
        assert_eq!(text, "é x def+ü+2 ghi");
        let place_of = |text: &str, part: &str| characters(&text[..text.find(part).unwrap()]) + 1;
        for part in ["é", "def", "ghi"] {
            assert_eq!(places.place(place_of(&text, part)), place_of(sql, part), "{part}");
        }
        assert_eq!(places.place(place_of(&text, "x")), place_of(sql, "abc"));
        assert_eq!(places.place(place_of(&text, "ü")), place_of(sql, "def"));
        assert_eq!(places.place(place_of(&text, "+2")), place_of(sql, "ghi"));
        assert_eq!(Edits::default().place(7), 7);
    }

    #[test]
    fn passes_follow_one_another() {
        let (first, edits) = Edits::apply("ab", vec![Edit::insert(1, "--", 0)]);
        let (second, more) = Edits::apply(&first, vec![Edit::insert(3, "++", 3)]);
        assert_eq!(second, "a--++b");
        let both = edits.then(more);
        assert_eq!((1..=6).map(|n| both.place(n)).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2]);
    }
}
