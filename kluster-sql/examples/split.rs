//! Cuts a script into statements and says what would be refused: `split postgresql|mariadb|sqlite FILE`.

use std::process::ExitCode;

use kluster_sql::{Dialect, Role, admit, split};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let dialect = |name: &str| Dialect::ALL.into_iter().find(|dialect| dialect.name().eq_ignore_ascii_case(name));
    let [name, file] = arguments.as_slice() else {
        eprintln!("split postgresql|mariadb|sqlite FILE");
        return ExitCode::from(2);
    };
    let (Some(dialect), Ok(script)) = (dialect(name), std::fs::read_to_string(file)) else {
        eprintln!("no such dialect, or no such file");
        return ExitCode::from(2);
    };
    let mut admitted = 0;
    for piece in split(&script, dialect) {
        match piece {
            Err(error) => println!("{error}"),
            Ok(piece) => match (piece.role, admit(dialect, piece.text)) {
                (Role::ToolOnly(reason), _) => {
                    println!("line {}: passed over ({reason}): {:.60}", piece.line, piece.text)
                }
                (Role::Statement, Err(refusal)) => {
                    println!("line {}: refused ({}): {refusal}", piece.line, refusal.code)
                }
                (Role::Statement, Ok(_)) => admitted += 1,
            },
        }
    }
    println!("{admitted} statements admitted");
    ExitCode::SUCCESS
}
