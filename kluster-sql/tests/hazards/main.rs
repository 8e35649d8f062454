//! One test for each known way in which equal texts come to unequal data, or leave the node's hands.

mod order;
mod outside;
mod rollback;
mod sessions;
mod values;

use kluster_sql::{Dialect, RefusalCode, admit};

#[track_caller]
fn refused(dialect: Dialect, code: RefusalCode, texts: &[&str]) {
    for sql in texts {
        match admit(dialect, sql) {
            Ok(admitted) => panic!("{dialect:?}: {sql}: admitted as {:?}", admitted.class),
            Err(refusal) => assert_eq!(refusal.code, code, "{dialect:?}: {sql}: {refusal}"),
        }
    }
}

#[track_caller]
fn taken(dialect: Dialect, texts: &[&str]) {
    for sql in texts {
        if let Err(refusal) = admit(dialect, sql) {
            panic!("{dialect:?}: {sql}: {refusal}");
        }
    }
}
