//! PostgreSQL's ISO dates and times to ISO 8601 with signed years: the year 1 BC is 0000, 44 BC is −0043, above 9999 a plus sign.
//!
//! `infinity` and `-infinity` stay as they are.

/// `2024-02-29`, `0044-03-15 BC`, `10000-01-01`.
pub(super) fn date(text: &str) -> Option<String> {
    if is_infinite(text) {
        return Some(text.to_owned());
    }
    let (text, before_christ) = era(text);
    iso_date(text, before_christ)
}

/// `2024-02-29 12:34:56.789`: with a `T`, without a zone.
pub(super) fn timestamp(text: &str) -> Option<String> {
    if is_infinite(text) {
        return Some(text.to_owned());
    }
    let (text, before_christ) = era(text);
    let (date, time) = text.split_once(' ')?;
    Some(format!("{}T{}", iso_date(date, before_christ)?, clock(time)?))
}

/// `2024-02-29 12:34:56.789+00`: RFC 3339. The session is pinned to UTC; another offset (a function with its own `SET TimeZone`) is
/// kept, for it names the same instant.
pub(super) fn timestamptz(text: &str) -> Option<String> {
    if is_infinite(text) {
        return Some(text.to_owned());
    }
    let (text, before_christ) = era(text);
    let (date, time) = text.split_once(' ')?;
    let sign = time.rfind(['+', '-'])?;
    let (time, offset) = time.split_at(sign);
    let offset = match offset {
        "+00" | "-00" => "Z".to_owned(),
        whole_hours if whole_hours.len() == 3 => format!("{whole_hours}:00"),
        other => other.to_owned(),
    };
    Some(format!("{}T{}{offset}", iso_date(date, before_christ)?, clock(time)?))
}

fn is_infinite(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity")
}

fn era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

fn iso_date(text: &str, before_christ: bool) -> Option<String> {
    let (year, month_and_day) = text.split_once('-')?;
    let valid = month_and_day.len() == 5 && month_and_day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let year: u32 = year.parse().ok().filter(|year| valid && *year > 0)?;
    // ISO 8601 counts 1 BC as year 0.
    Some(match (before_christ, year) {
        (true, 1) => format!("0000-{month_and_day}"),
        (true, _) => format!("-{:04}-{month_and_day}", year - 1),
        (false, 10_000..) => format!("+{year}-{month_and_day}"),
        (false, _) => format!("{year:04}-{month_and_day}"),
    })
}

/// The time of day is in its final form already.
fn clock(text: &str) -> Option<&str> {
    let valid = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    valid.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("2024-02-29", "2024-02-29"),
            ("0001-01-01", "0001-01-01"),
            ("0001-01-01 BC", "0000-01-01"),
            ("0044-03-15 BC", "-0043-03-15"),
            ("4714-11-24 BC", "-4713-11-24"),
            ("9999-12-31", "9999-12-31"),
            ("10000-01-01", "+10000-01-01"),
            ("5874897-12-31", "+5874897-12-31"),
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
        ] {
            assert_eq!(date(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "tomorrow", "2024-02", "29.02.2024", "0000-01-01", "02/29/2024"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps() {
        for (text, expected) in [
            ("2024-02-29 12:34:56", "2024-02-29T12:34:56"),
            ("2024-02-29 12:34:56.789012", "2024-02-29T12:34:56.789012"),
            ("0044-03-15 12:00:00 BC", "-0043-03-15T12:00:00"),
            ("294276-12-31 23:59:59.999999", "+294276-12-31T23:59:59.999999"),
            ("-infinity", "-infinity"),
        ] {
            assert_eq!(timestamp(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(timestamp("2024-02-29"), None);
    }

    #[test]
    fn timestamps_with_zone() {
        for (text, expected) in [
            ("2024-02-29 12:34:56+00", "2024-02-29T12:34:56Z"),
            ("2024-02-29 12:34:56.7+00", "2024-02-29T12:34:56.7Z"),
            ("0044-03-15 12:00:00+00 BC", "-0043-03-15T12:00:00Z"),
            ("2024-02-29 12:34:56+02", "2024-02-29T12:34:56+02:00"),
            ("2024-02-29 12:34:56-03:30", "2024-02-29T12:34:56-03:30"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(timestamptz(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(timestamptz("2024-02-29 12:34:56"), None);
    }
}
