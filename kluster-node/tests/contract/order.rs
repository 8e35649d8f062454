//! The order of rows: what a statement makes of tables that hold the same rows in another physical order.

use super::*;
use kluster_sql::{ORDER_FORMS, OrderForm, Treatment, admit};

const COLUMNS: &str = "grp integer, due integer, name varchar(20), amount double precision";

/// Rows that tie in every column but the key, and numbers whose sum follows their order.
fn values(backward: bool) -> String {
    let amounts = ["1e16", "0.1", "-1e16", "3.3", "1e8", "0.7"];
    let row = |n: usize| {
        format!("('{}', {}, {}, '{}', {})", 97 * n % 40, n % 2, n % 3, ["b", "a", "c", "A"][n % 4], amounts[n % 6])
    };
    let mut rows: Vec<String> = (1..=30).map(row).collect();
    if backward {
        rows.reverse();
    }
    rows.join(", ")
}

/// The statement as a node executes it.
fn admitted(db: &Dbms, offset: u64, sql: &str) -> Result<Work, kluster_sql::Refusal> {
    let admitted = admit(db.dialect(), sql)?;
    let text = WorkStatement { edits: admitted.edits, wants: admitted.wants, ..statement(&admitted.sql) };
    Ok(work_of(offset, vec![text]))
}

/// Fills the tables, executes the form and gives what all tables hold then.
async fn outcome(db: &mut Dbms, offset: u64, form: &Work, backward: bool) -> (Ran, Vec<Vec<Value>>) {
    let values = values(backward);
    let mut fill: Vec<String> =
        ["item", "loose", "archive", "result"].map(|table| format!("delete from {table}")).into();
    fill.extend(["item", "loose"].map(|table| format!("insert into {table} values {values}")));
    if backward {
        // Where a row is stored anew when it changes, half of them move.
        fill.extend(["item", "loose"].map(|table| format!("update {table} set name = name where grp = 1")));
    }
    one(db, work_of(offset, fill.iter().map(|sql| statement(sql)).collect())).await.unwrap();
    let ran = one(db, Work { offset: at(offset + 1), ..form.clone() }).await;
    let mut tables = Vec::new();
    for (n, table) in ["item", "archive", "result"].into_iter().enumerate() {
        let mut rows = query(db, offset + 2 + n as u64, &format!("select * from {table}")).await;
        rows.sort_by_key(Value::to_string);
        tables.push(rows);
    }
    (ran, tables)
}

/// A form that is made total leaves the same rows whichever order they were stored in.
pub async fn the_order_of_rows_decides_nothing(place: &impl Place) {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    let key = "id varchar(20) not null primary key";
    for (n, create) in [
        format!("create table item ({key}, {COLUMNS})"),
        format!("create table archive ({key}, {COLUMNS})"),
        format!("create table loose (id varchar(20), {COLUMNS})"),
        "create table result (a text, b text, c text)".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let create = ddl(&db, n as u64, create);
        one(&mut db, create).await.unwrap();
    }
    let dialect = db.dialect();
    let mut unlike = 0;
    let forms = ORDER_FORMS.iter().filter(|form| form.dialects.contains(&dialect));
    for (n, OrderForm { what, treatment, sql, .. }) in forms.enumerate() {
        let offset = 100 + 20 * n as u64;
        let form = admitted(&db, offset, sql);
        match treatment {
            Treatment::Total => {
                let form = form.unwrap_or_else(|refusal| panic!("{what}: {sql}: {refusal}"));
                let (ran, forward) = outcome(&mut db, offset, &form, false).await;
                assert!(ran.is_ok(), "{what}: {sql}: {ran:?}");
                let (_, backward) = outcome(&mut db, offset + 5, &form, true).await;
                assert_eq!(forward, backward, "{what}: {sql}");
                let written = work(offset, sql);
                let (_, forward) = outcome(&mut db, offset + 10, &written, false).await;
                let (_, backward) = outcome(&mut db, offset + 15, &written, true).await;
                unlike += usize::from(forward != backward);
            }
            Treatment::Refused => {
                let code = match form {
                    Ok(form) => code(&outcome(&mut db, offset, &form, false).await.0),
                    Err(refusal) => Some(ErrorCode::from_text(refusal.code.as_str())),
                };
                assert_eq!(code, Some(ErrorCode::OrderDependent), "{what}: {sql}");
            }
            Treatment::Compared => {
                let form = form.unwrap_or_else(|refusal| panic!("{what}: {sql}: {refusal}"));
                assert!(form.statements[0].wants.is_empty(), "{what}: {sql}");
            }
        }
    }
    assert!(unlike > 0, "no form follows the order of rows as it is written: this test tests nothing");
    db.close().await;
}
