//! Recognises COPY, which must not enter a pipeline.
//!
//! In COPY FROM STDIN the server swallows a Sync that is behind it, and ends the session (08P01, "protocol synchronization was lost",
//! seen on PostgreSQL 15) when another statement is behind it. Every retry would end the same way, so COPY is refused before it is
//! sent. COPY can only be a statement's first word: neither PREPARE nor a function may hold a COPY with the client.

/// The statement's first word is COPY, behind blanks, comments and empty statements as PostgreSQL's lexer skips them.
pub(super) fn is_copy(sql: &str) -> bool {
    let statement = skip_ignored(sql.as_bytes());
    let word = statement.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 128..));
    word.map(u8::to_ascii_lowercase).eq(*b"copy")
}

fn skip_ignored(mut sql: &[u8]) -> &[u8] {
    loop {
        sql = match sql {
            [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b';', rest @ ..] => rest,
            [b'-', b'-', rest @ ..] => {
                let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                &rest[end.unwrap_or(rest.len())..]
            }
            [b'/', b'*', rest @ ..] => behind_comment(rest),
            _ => return sql,
        }
    }
}

/// Comments nest.
fn behind_comment(mut sql: &[u8]) -> &[u8] {
    let mut depth = 1;
    while depth > 0 {
        sql = match sql {
            [b'/', b'*', rest @ ..] => {
                depth += 1;
                rest
            }
            [b'*', b'/', rest @ ..] => {
                depth -= 1;
                rest
            }
            [_, rest @ ..] => rest,
            [] => return sql,
        }
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::is_copy;

    #[test]
    fn copy_is_seen_behind_everything_that_the_server_ignores() {
        for sql in [
            "copy t from stdin",
            "COPY(select 1) to stdout",
            " \t\r\n\x0b\x0c;CoPy t",
            "--x\rcopy t",
            "/*/**/*/copy\tt",
        ] {
            assert!(is_copy(sql), "{sql}");
        }
    }

    #[test]
    fn other_words_are_not_copy() {
        for sql in
            ["", "select 'copy'", "copyright", "copy_1", "copyé", "\"copy\"", "--copy", "/* copy", "/*/**/copy */"]
        {
            assert!(!is_copy(sql), "{sql}");
        }
    }
}
