//! Answers as they stand on RESPONSES: results of lists that do not fit a record, and what a refusal says.

use kluster_log::NewRecord;
use kluster_protocol::{Offset, ResponseError, Topic};
use kluster_tests::cluster::{Cluster, Kind};
use kluster_tests::scripts::{Answer, Answers};
use serde_json::{Value, json};

/// So many rows of about a kilobyte do not fit one record.
const ROWS: usize = 2500;

/// A number below 2^64 and what else a reader would change, as PostgreSQL's `json` holds it.
const JSON: &str = r#"{"n":123456789012345678901234567890.50,"n":1e400, "deep":[[[]]]}"#;

pub async fn large_results_of_lists_come_in_parts(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let mut answers = Answers::from_now(cluster.log()).await;
    let client = cluster.client().await;
    let column = if kind == Kind::Postgres { "json" } else { "text" };
    client
        .execute(format!("create table large(id integer primary key, words text, js {column})"))
        .all()
        .await
        .expect("a table");
    for from in (0..ROWS).step_by(500) {
        let row = |id| format!("({id}, '{id:0>1000}', '{JSON}')");
        let rows = (from..from + 500).map(row).collect::<Vec<_>>().join(", ");
        client.execute(format!("insert into large values {rows}")).all().await.expect("rows");
    }
    let all = "select * from large order by id";
    let list = json!([
        {"sqlString": "select id from large where id < 3 order by id"},
        {"sqlString": all},
        {"sqlString": "select id from large where id < 0"},
        {"sqlString": format!("{all} desc")},
        {"sqlString": "select count(*) as n from large"},
    ]);
    let wanted = [3, ROWS, 0, ROWS, 1];
    let mut first: Option<Vec<Vec<String>>> = None;
    for (topic, nodes) in [(Topic::All, 3), (Topic::One, 1)] {
        let id = format!("list-{topic}");
        let mut request = json!({"messageId": id, "clientId": "c", "statements": list});
        if topic == Topic::One {
            request["minOffset"] = json!(cluster.caught_up().await);
        }
        let record = NewRecord::of(request.to_string());
        cluster.log().append(topic, Some(0), record).await.expect("the topic takes a record");
        let given = answers.of(&id, nodes).await;
        assert_eq!(given.len(), nodes);
        for (node, parts) in given {
            assert!(parts.len() > 4, "{topic}, {node}: {} parts", parts.len());
            let (rows, counts) = joined(&parts, wanted.len());
            assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), wanted, "{topic}, {node}");
            assert_eq!(counts, wanted.map(|count| count as u64), "{topic}, {node}");
            match &first {
                None => {
                    is_whole(kind, &rows);
                    first = Some(rows);
                }
                Some(first) => assert!(*first == rows, "{topic}: {node} gives other bytes than n1"),
            }
        }
        answers.forget();
    }
    // And the client joins them.
    let done = client.transaction().statement("select id from large where id < 3").statement(all).all().await;
    let done = done.expect("all nodes answer");
    assert_eq!(done.results.iter().map(kluster_client::Rows::len).collect::<Vec<_>>(), [3, ROWS]);
    let texts: Vec<&str> = done.results[1].json.iter().map(|row| row.get()).collect();
    assert!(first.is_some_and(|first| first[1] == texts), "the client changes a row");
}

/// The rows of each statement, and its count, from the parts of an answer.
fn joined(parts: &[Answer], statements: usize) -> (Vec<Vec<String>>, Vec<u64>) {
    let (mut rows, mut counts) = (vec![Vec::new(); statements], vec![0; statements]);
    for (number, part) in parts.iter().enumerate() {
        assert_eq!((part.part, part.last_part), (Some(number as u32), number + 1 == parts.len()));
        assert_eq!((&part.message_id, part.result_code.as_str()), (&parts[0].message_id, "OK"));
        for (index, result) in part.results.iter().flatten().enumerate() {
            assert!(!result.columns.is_empty(), "part {number} does not name the columns of statement {index}");
            rows[index].extend(result.result.iter().map(|row| row.get().to_owned()));
            counts[index] = counts[index].max(result.rows_affected);
        }
    }
    (rows, counts)
}

/// Every row is there, in its order and with its JSON.
fn is_whole(kind: Kind, rows: &[Vec<String>]) {
    let js = if kind == Kind::Postgres { JSON.to_owned() } else { Value::from(JSON).to_string() };
    let wanted = |id| format!(r#"{{"id":{id},"words":"{id:0>1000}","js":{js}}}"#);
    assert!(rows[1].iter().enumerate().all(|(id, row)| *row == wanted(id)), "{}", rows[1][0]);
    assert!(rows[3].iter().rev().enumerate().all(|(id, row)| *row == wanted(id)));
}

/// Texts, their SQLSTATE, and the word at which the DBMS says that they are wrong. MariaDB tells no place.
fn mistakes(kind: Kind) -> Vec<(Value, Option<&'static str>, Option<&'static str>)> {
    let one = |sql: &str| json!({"sqlString": sql});
    match kind {
        Kind::Postgres => vec![
            (one("select 'é', nothing from t"), Some("42703"), Some("nothing")),
            (one("select id from t where name = 'now' and nothing = 1"), Some("42703"), Some("nothing")),
            (one("insert into t(id, name, wrong) values (5, 'now', 'today')"), Some("42703"), Some("wrong")),
            (one("insert into t(id, at) values (5, 'now')"), Some("42804"), Some("'now'")),
            (
                json!({"sqlString": "update t set name = $1 where name = 'é' and wrong = 1", "params": ["yesterday"]}),
                Some("42703"),
                Some("wrong"),
            ),
            (one("insert into t(id) values (1)"), Some("23505"), None),
            (one("insert into t(id) values (1/0)"), Some("22012"), None),
            (one("selec 1"), Some("42601"), Some("selec")),
        ],
        Kind::MariaDb => vec![
            (one("select nothing from t"), Some("42S22"), None),
            (one("select * from nowhere"), Some("42S02"), None),
            (one("insert into t(id) values (1)"), Some("23000"), None),
            (one("insert into t(id) values (1/0)"), Some("22012"), None),
            (one("selec 1"), Some("42000"), None),
        ],
        Kind::Sqlite => vec![
            (one("select 'é', nothing from t"), None, Some("nothing")),
            (one("insert into t(id) values (1)"), None, None),
            (one("selec 1"), None, Some("selec")),
        ],
    }
}

pub async fn refusals_say_where_and_why(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let mut answers = Answers::from_now(cluster.log()).await;
    let client = cluster.client().await;
    client
        .execute("create table t(id integer primary key, name varchar(20), at timestamp null)")
        .all()
        .await
        .expect("a table");
    client.execute("insert into t(id) values (1)").all().await.expect("a row");
    let mut seen = Offset::ZERO;
    for (n, (body, state, word)) in mistakes(kind).into_iter().enumerate() {
        let mut request = body.clone();
        (request["messageId"], request["clientId"]) = (json!(format!("mistake-{n}")), json!("c"));
        let record = NewRecord::of(request.to_string());
        let placed = cluster.log().append(Topic::All, None, record).await.expect("ALL takes a record");
        assert!(placed.offset > seen);
        seen = placed.offset;
        let sql = body["sqlString"].as_str().expect("a text");
        let place = word.map(|word| sql[..sql.find(word).expect("the word is there")].chars().count() as u32 + 1);
        for (node, parts) in answers.of(&format!("mistake-{n}"), 3).await {
            let error: &ResponseError = parts[0].error.as_ref().unwrap_or_else(|| panic!("{node} executed {sql}"));
            assert_eq!((error.sql_state.as_deref(), error.position), (state, place), "{node}, {sql}: {error:?}");
        }
    }
    cluster.same_everywhere().await;
}
