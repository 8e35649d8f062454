//! Show: times, states and texts as people read them.

use kluster_protocol::{Heartbeat, NodeState, Role};
use std::time::Duration;

/// What stands where there is nothing.
pub const NONE: &str = "–";

/// A time in UTC, to the second: `2026-03-04T05:06:07Z`.
pub fn time(ms: u64) -> String {
    at(ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// A time in UTC, to the millisecond: `2026-03-04T05:06:07.089Z`.
pub fn time_ms(ms: u64) -> String {
    at(ms, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

fn at(ms: u64, form: &str) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms since 1970"), |time| time.strftime(form).to_string())
}

/// A length of time, roughly: `0s`, `42s`, `3m 12s`, `5h 7m`, `9d 4h`.
pub fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

/// Something or nothing.
pub fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// What a node is doing.
pub fn doing(beat: &Heartbeat) -> String {
    match (&beat.state, &beat.halt) {
        (NodeState::Stopped { .. }, Some(halt)) if halt.is_hold() => {
            format!("holds {} back, round {}", halt.offset, halt.round)
        }
        (NodeState::Stopped { .. }, Some(halt)) => {
            format!("waits at {}, round {} ({})", halt.offset, halt.round, halt.code)
        }
        (state, _) => self::state(state),
    }
}

fn state(state: &NodeState) -> String {
    match state {
        NodeState::Starting => "starting".to_owned(),
        NodeState::CatchingUp => "catching up".to_owned(),
        NodeState::Ready => "ready".to_owned(),
        NodeState::Retrying { since_ms, code } => format!("retrying since {} ({code})", time(*since_ms)),
        NodeState::Stopped { offset, round, code } => format!("stopped at {offset}, round {round} ({code})"),
        NodeState::Leaving => "leaving".to_owned(),
    }
}

/// What a node is in the cluster.
pub fn role(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Voter) => "voter",
        Some(Role::Observer) => "observer",
        None => NONE,
    }
}

/// The first `count` characters on one line: runs of blanks and line ends become one blank; what is cut off leaves `…`.
pub fn one_line(text: &str, count: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for character in word.chars() {
            if length >= count {
                line.push('…');
                return line;
            }
            // Control characters of foreign text would move the terminal's cursor or change its colours.
            line.push(if character.is_control() { '·' } else { character });
            length += 1;
        }
    }
    line
}

/// The first `count` characters.
pub fn first(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

/// `1 record`, `2 records`.
pub fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths() {
        assert_eq!(time(1_772_600_767_089), "2026-03-04T05:06:07Z");
        assert_eq!(time_ms(1_772_600_767_089), "2026-03-04T05:06:07.089Z");
        assert_eq!(time(u64::MAX), format!("{} ms since 1970", u64::MAX));
        let lengths = [0, 42, 192, 18_420, 792_000].map(|seconds| length(Duration::from_secs(seconds)));
        assert_eq!(lengths, ["0s", "42s", "3m 12s", "5h 7m", "9d 4h"]);
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(one_line("  select\n\t1  ", 120), "select 1");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("a\u{1b}[2Jb", 120), "a·[2Jb");
        assert_eq!(one_line("äöü ß", 5), "äöü ß");
    }
}
