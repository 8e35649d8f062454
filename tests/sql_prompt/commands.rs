//! The backslash commands that read and write files or change how rows look, done and not only read.

use super::{data, say, say_with};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Kind};
use std::path::Path;

const TABLE: &str = "create table person (id integer primary key, name text)";

#[tokio::test(flavor = "multi_thread")]
async fn files_are_run_and_written_and_rows_are_turned() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 1).await;
    data(&cluster, &["--ack", "all", TABLE]);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| written(directory.path(), name, text);
    let inner = file("inner.sql", "insert into person values (2, null);\n");
    let outer = file("outer.sql", &format!("insert into person values (1, 'Jan');\n\\i '{inner}'\n"));
    let out = directory.path().join("rows.csv").display().to_string();
    let script = format!(
        "\\i '{outer}'\n\\x\nselect * from person order by id;\n\\x off\nselect id from person order by id;\n\
         \\output csv\n\\o '{out}'\nselect * from person order by id;\n\\o\nselect count(*) as n from person;\n"
    );
    let said = say_with(&cluster, &[], &script);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        said.data,
        "─[ 1 ]─────\n id   │ 1\n name │ Jan\n─[ 2 ]─────\n id   │ 2\n name │ NULL\n id\n────\n  1\n  2\nn\r\n2\r\n"
    );
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "id,name\r\n1,Jan\r\n2,\r\n");
    assert!(said.notes.contains(&format!("rows go to {out}")), "{}", said.notes);
    let turned = data(&cluster, &["-x", "select name from person where id = 1"]);
    assert_eq!(turned, "─[ 1 ]─────\n name │ Jan\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_run_or_written_is_named() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 1).await;
    let directory = tempfile::tempdir().unwrap();
    let itself = directory.path().join("itself.sql").display().to_string();
    written(directory.path(), "itself.sql", &format!("\\i '{itself}'\n"));
    let bad = written(directory.path(), "bad.sql", "select 1;\nselct 1;\n");
    for (command, code, words) in [
        (format!("\\i '{itself}'"), 5, vec!["files run files 16 deep already", "itself.sql"]),
        (format!("\\i '{bad}'"), 5, vec!["bad.sql", "line 2"]),
        ("\\i /nowhere/a.sql".to_owned(), 2, vec!["/nowhere/a.sql"]),
        ("\\o /nowhere/rows".to_owned(), 2, vec!["\\o /nowhere/rows"]),
    ] {
        let said = say(&cluster, &["-c", &command]);
        assert_eq!(said.code, Some(code), "{command}: {said:?}");
        for word in words {
            assert!(said.notes.contains(word), "{command}: {word}: {}", said.notes);
        }
    }
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a script can be written");
    path.display().to_string()
}
