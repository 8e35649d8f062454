//! Calls of every function that a DBMS lists in its own catalog, with arguments drawn by their types.

use crate::home::Server;
use crate::record::pick;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// How a function may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For each row.
    Scalar,
    /// It returns rows.
    Rows,
    /// Over groups.
    Aggregate,
    /// Over a window only.
    Window,
}

/// A function of the catalog.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name, quoted where it must be.
    pub name: String,
    /// How it may be called.
    pub form: Form,
    /// The lists of arguments that it takes, each by its types; `any` where the catalog says no type.
    pub arguments: Vec<Vec<String>>,
}

/// As many arguments are tried of a function whose catalog does not say how many it takes.
const MOST: usize = 5;

/// The functions of a PostgreSQL whose arguments can be written.
const POSTGRES: &str = "select p.proname, p.prokind, p.proretset, \
    coalesce((select string_agg(t::regtype::text, ';' order by n) from unnest(p.proargtypes) with ordinality a(t, n)), '') \
    from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind <> 'p' \
    and p.prorettype not in ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype, \
    'fdw_handler'::regtype, 'index_am_handler'::regtype, 'table_am_handler'::regtype, 'tsm_handler'::regtype) \
    and not p.proargtypes::oid[] && array['internal'::regtype::oid, 'cstring'::regtype::oid] order by p.proname, p.oid";

/// What the catalog of the server lists.
pub async fn listed(server: &Server) -> Vec<Function> {
    match server {
        Server::Postgres(server) => {
            let list = server.sql("postgres", POSTGRES).await.unwrap();
            list.lines().filter_map(of_postgres).collect()
        }
        Server::MariaDb(server) => {
            let list = server.sql("mysql", &mariadb()).await.unwrap();
            let mut counts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (name, count) in list.lines().filter_map(|line| line.split_once('\t')) {
                counts.entry(name).or_default().push(count.parse().unwrap());
            }
            counts.into_iter().map(|(name, counts)| of_mariadb(name, &counts)).collect()
        }
        Server::Sqlite => {
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            let sql =
                "select distinct name, type, narg from pragma_function_list where name glob '[a-z]*' order by 1, 2, 3";
            let mut statement = connection.prepare(sql).unwrap();
            let function = |row: &rusqlite::Row<'_>| Ok(of_sqlite(row.get(0)?, &row.get::<_, String>(1)?, row.get(2)?));
            statement.query_map([], function).unwrap().map(Result::unwrap).collect()
        }
    }
}

/// Asks MariaDB how many arguments each function takes that its catalog lists: it prepares calls of it and keeps those that it takes.
fn mariadb() -> String {
    let calls = (0..=MOST).map(|count| {
        format!("select {count} as n, '{}' as arguments", vec!["'1'"; count].join(", ").replace('\'', "''"))
    });
    let over = WINDOWS.map(|name| format!("'{name}'")).join(", ");
    format!(
        "delimiter //
         begin not atomic
           declare taken boolean;
           declare calls cursor for select lower(function) as name, n, arguments from information_schema.sql_functions, ({}) as calls
             where function regexp '^[a-z_0-9]+$' order by 1, 2;
           declare continue handler for sqlexception set taken = false;
           create temporary table kept (name text, count integer);
           for call_ in calls do
             set taken = true;
             set @call = concat('select ', call_.name, '(', call_.arguments, ')', if(call_.name in ({over}), ' over (order by 1)', ''));
             prepare tried from @call;
             if taken then insert into kept values (call_.name, call_.n); end if;
           end for;
           select name, count from kept;
         end //",
        calls.collect::<Vec<_>>().join(" union all ")
    )
}

fn of_postgres(line: &str) -> Option<Function> {
    let mut columns = line.split('|');
    let (name, kind, rows, types) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    let form = match (kind, rows) {
        ("a", _) => Form::Aggregate,
        ("w", _) => Form::Window,
        (_, "t") => Form::Rows,
        _ => Form::Scalar,
    };
    let arguments: Vec<_> = types.split(';').filter(|one| !one.is_empty()).map(str::to_owned).collect();
    let writable = arguments.iter().all(|one| !literals(one).is_empty());
    writable.then(|| Function { name: format!("pg_catalog.\"{name}\""), form, arguments: vec![arguments] })
}

const AGGREGATES: [&str; 17] = [
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "count",
    "group_concat",
    "json_arrayagg",
    "json_objectagg",
    "max",
    "min",
    "std",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
];

const WINDOWS: [&str; 10] =
    ["cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "rank", "row_number"];

fn of_mariadb(name: &str, counts: &[usize]) -> Function {
    let form = match name {
        _ if AGGREGATES.contains(&name) => Form::Aggregate,
        _ if WINDOWS.contains(&name) => Form::Window,
        _ => Form::Scalar,
    };
    Function { name: name.to_owned(), form, arguments: counts.iter().map(|count| any(*count)).collect() }
}

fn of_sqlite(name: String, kind: &str, arguments: i64) -> Function {
    // Most aggregates may be used over a window as well; those that may not be aggregates need one.
    let form = match kind {
        "s" => Form::Scalar,
        _ if WINDOWS.contains(&name.as_str()) || name == "percent_rank" => Form::Window,
        _ => Form::Aggregate,
    };
    // Fewer than none: any count of them.
    let arguments = match usize::try_from(arguments) {
        Ok(count) => vec![any(count)],
        Err(_) => (0..MOST).map(any).collect(),
    };
    Function { name, form, arguments }
}

fn any(count: usize) -> Vec<String> {
    vec!["any".to_owned(); count]
}

impl Function {
    /// A call of it. `rows`: columns of a table may be arguments.
    pub fn call(&self, rng: &mut StdRng, rows: bool) -> String {
        let arguments: Vec<String> = pick(rng, &self.arguments).iter().map(|one| argument(rng, one, rows)).collect();
        let star = self.name.ends_with("count") && arguments.is_empty();
        format!("{}({})", self.name, if star { "*".to_owned() } else { arguments.join(", ") })
    }
}

/// An expression of a type.
pub fn argument(rng: &mut StdRng, of: &str, rows: bool) -> String {
    let columns: &[&str] = match of {
        "any" => &["id", "name", "grp", "due", "amount"],
        "integer" | "anyelement" | "anycompatible" | "\"any\"" => &["grp", "due"],
        "bigint" => &["grp::int8", "due::int8"],
        "text" => &["name", "id"],
        "double precision" => &["amount"],
        "numeric" => &["due::numeric", "grp::numeric"],
        _ => &[],
    };
    if rows && !columns.is_empty() && rng.random_bool(0.4) {
        return pick(rng, columns).to_owned();
    }
    let literals = literals(of);
    match (of, pick(rng, literals)) {
        (_, "null") => "null".to_owned(),
        ("any" | "integer", literal) => literal.to_owned(),
        ("\"any\"" | "anyelement" | "anycompatible" | "anynonarray" | "anycompatiblenonarray", literal) => {
            literal.to_owned()
        }
        ("anyarray" | "anycompatiblearray", literal) => format!("'{literal}'::int[]"),
        ("anyenum", _) => "null".to_owned(),
        ("anyrange" | "anycompatiblerange", literal) => format!("'{literal}'::int4range"),
        ("anymultirange" | "anycompatiblemultirange", literal) => format!("'{literal}'::int4multirange"),
        ("record", literal) => literal.to_owned(),
        ("oid" | "regclass" | "regtype", literal) => literal.to_owned(),
        (_, literal) => format!("'{literal}'::{of}"),
    }
}

/// Values of a type, as text between quotes for most.
fn literals(of: &str) -> &'static [&'static str] {
    match of {
        // No type: what MariaDB and SQLite make of any value.
        "any" => &[
            "0",
            "1",
            "-1",
            "2",
            "7",
            "3.5",
            "-0.0",
            "1e308",
            "null",
            "''",
            "'abc'",
            "'a,b'",
            "'é ñ'",
            "x'00ff'",
            "'now'",
            "'2024-02-29'",
            "'2024-02-29 12:34:56'",
            "'10:11:12'",
            "'%Y-%m-%d %H'",
            "'{\"a\": [1, 2]}'",
            "'$.a'",
            "'<a>b</a>'",
            "'/a'",
            "9223372036854775807",
            "'12'",
            "'UTC'",
            "'utf8mb4'",
        ],
        "smallint" | "bigint" => &["0", "1", "-1", "7", "100", "null"],
        "integer" => &["0", "1", "-1", "2", "7", "100", "null"],
        "anyelement" | "anycompatible" | "\"any\"" | "anynonarray" | "anycompatiblenonarray" => &["1", "2", "7"],
        "anyarray" | "anycompatiblearray" | "integer[]" | "bigint[]" | "smallint[]" => &["{}", "{3,1,2}", "{1,NULL}"],
        "text[]" => &["{}", "{a,b}", "{now,NULL}", "{a}"],
        "double precision[]" | "real[]" | "numeric[]" => &["{0.5}", "{0.1,0.9}"],
        "anyenum" => &["x"],
        "anyrange" | "anycompatiblerange" | "int4range" | "int8range" | "numrange" => &["[1,5)", "empty", "(,3]"],
        "anymultirange" | "anycompatiblemultirange" | "int4multirange" | "int8multirange" | "nummultirange" => {
            &["{[1,3),[5,7)}", "{}"]
        }
        "daterange" | "tsrange" | "tstzrange" => &["[2024-01-01,2024-02-01)", "empty", "(,2024-05-05)"],
        "datemultirange" | "tsmultirange" | "tstzmultirange" => &["{[2024-01-01,2024-02-01)}", "{}"],
        "double precision" | "real" => &["0", "0.5", "-2.5", "1e10", "-0", "NaN", "null"],
        "numeric" => &["0", "1.50", "-2.500", "12345678901234567890.123", "null"],
        "money" => &["1.50", "-2"],
        "text" | "character varying" | "character" | "name" => &[
            "abc",
            "",
            "é ñ",
            "2024-02-29",
            "a,b",
            "YYYY-MM-DD HH24:MI",
            "item",
            "day",
            "UTC",
            "hex",
            "public",
            "{\"a\": 1}",
            "UTF8",
            "now",
            "SELECT",
            "null",
        ],
        "\"char\"" => &["a", "r"],
        "boolean" => &["true", "false", "null"],
        "date" => &["2024-02-29", "0044-03-15 BC", "infinity"],
        "timestamp without time zone" | "timestamp with time zone" => {
            &["2024-02-29 12:34:56.789", "1900-01-01 00:00:00", "infinity"]
        }
        "time without time zone" | "time with time zone" => &["12:34:56", "24:00:00"],
        "interval" => &["1 day 02:03:04", "-3 months", "1 year"],
        "bytea" => &["\\x00ff", "abc", ""],
        "json" | "jsonb" => &["{\"a\": [1, 2], \"b\": null}", "[3, 1]", "1.50", "null"],
        "jsonpath" => &["$.a[*]", "$"],
        "uuid" => &["123e4567-e89b-12d3-a456-426655440000"],
        "inet" | "cidr" => &["10.0.0.0/8", "::1/128"],
        "macaddr" => &["08:00:2b:01:02:03"],
        "macaddr8" => &["08:00:2b:01:02:03:04:05"],
        "bit" | "bit varying" => &["1", "0"],
        "tsvector" => &["a:1 b:2A", ""],
        "tsquery" => &["a & b", "a"],
        "point" => &["(1,2)", "(0,0)"],
        "lseg" => &["[(0,0),(1,1)]"],
        "box" => &["(1,1),(0,0)"],
        "path" => &["[(0,0),(1,1),(2,0)]", "((0,0),(1,1),(2,0))"],
        "polygon" => &["((0,0),(1,1),(2,0))"],
        "line" => &["{1,-1,0}"],
        "circle" => &["<(0,0),2>"],
        "xml" => &["<a>b</a>"],
        "pg_lsn" => &["0/16B3748"],
        "record" => &["row(1, 2)", "row('a', null)"],
        // Numbers and names of objects: of the system's own, which are the same everywhere, and of the user's.
        "oid" => &["1259", "16390", "16400", "16420", "2"],
        "regclass" => &["'item'", "'pg_class'", "16390"],
        "regtype" => &["'integer'", "'item'"],
        _ => &[],
    }
}
