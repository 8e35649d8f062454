//! What only PostgreSQL has: words that are read as the present time, casts to a node's own numbers, and languages.

use crate::refusal::Refusal;
use crate::rules::Scope;
use crate::scan::{Scan, refuse_checked};
use crate::statement::Statement;
use crate::token::Kind;

/// Words that PostgreSQL's input of times replaces by the present.
const PRESENT: &[&str] = &["now", "today", "tomorrow", "yesterday"];

/// Types whose input knows those words.
const TIMES: &[&str] = &[
    "timestamp",
    "timestamptz",
    "date",
    "time",
    "timetz",
    "tsrange",
    "tstzrange",
    "daterange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
];

/// Types of numbers that each node gives on its own.
const NODE_NUMBERS: &[&str] = &["oid", "xid", "xid8", "cid", "tid"];

pub(crate) fn check_token(scan: &Scan<'_, '_>, at: usize) -> Result<(), Refusal> {
    let statement = scan.statement;
    match statement.kind(at) {
        Some(Kind::Text | Kind::Dollar)
            if scan.using.meets(Scope::Ordered)
                && (is_present(statement, at) || scan.body && is_assigned_present(statement, at)) =>
        {
            Err(refuse_checked(statement, at, "'now'", "this string"))
        }
        Some(Kind::Symbol) if statement.is_symbol(at, "::") && scan.using.meets(Scope::Writes) => {
            let named = type_at(statement, at + 1);
            match NODE_NUMBERS.iter().find(|name| statement.name(named).is_some_and(|n| n.eq_ignore_ascii_case(name))) {
                Some(name) => Err(refuse_checked(statement, at, &format!("::{name}"), &format!("{name} (the type)"))),
                None if numbers_object(statement, at, named) => Err(object_number(statement, at)),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_word(scan: &Scan<'_, '_>, at: usize, word: &str) -> Result<(), Refusal> {
    let statement = scan.statement;
    if scan.using.meets(Scope::Writes) {
        check_catalog(scan, at, word)?;
    }
    match word {
        "as" if scan.using.meets(Scope::Writes) => check_cast(statement, at),
        _ if scan.using.meets(Scope::Writes) && calls_number(statement, at, word) => Err(object_number(statement, at)),
        "nowait" if is_lock_option(statement, at) => Err(refuse_checked(statement, at, "nowait", "NOWAIT")),
        "uescape"
            if at > 0 && statement.raw(at - 1).get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("u&")) =>
        {
            Err(refuse_checked(statement, at, "uescape", "UESCAPE"))
        }
        "tablespace" if names_tablespace(scan, at) => Err(refuse_checked(statement, at, "tablespace …", "TABLESPACE")),
        "language" if is_routine(scan) && !statement.follows_symbol(at, ".") => check_language(statement, at + 1),
        _ => Ok(()),
    }
}

/// Catalogs that number objects, or name what the server names by numbers.
const CATALOGS: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_extension",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_language",
    "pg_largeobject",
    "pg_matviews",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_proc",
    "pg_range",
    "pg_rewrite",
    "pg_rules",
    "pg_sequence",
    "pg_sequences",
    "pg_shdepend",
    "pg_tables",
    "pg_trigger",
    "pg_type",
    "pg_views",
];

/// Functions that ask for an object by its number. `kluster-node`'s tests compare the list with the catalog of each supported version.
const OF_OBJECTS: &[&str] = &[
    "amvalidate",
    "col_description",
    "format_type",
    "obj_description",
    "pg_basetype",
    "pg_collation_is_visible",
    "pg_column_is_updatable",
    "pg_conversion_is_visible",
    "pg_describe_object",
    "pg_function_is_visible",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arg_default",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_function_sqlbody",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partition_constraintdef",
    "pg_get_partkeydef",
    "pg_get_publication_tables",
    "pg_get_replica_identity_index",
    "pg_get_ruledef",
    "pg_get_statisticsobjdef",
    "pg_get_statisticsobjdef_columns",
    "pg_get_statisticsobjdef_expressions",
    "pg_get_triggerdef",
    "pg_get_viewdef",
    "pg_identify_object",
    "pg_identify_object_as_address",
    "pg_index_column_has_property",
    "pg_index_has_property",
    "pg_indexam_has_property",
    "pg_indexam_progress_phasename",
    "pg_is_other_temp_schema",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_partition_tree",
    "pg_relation_is_publishable",
    "pg_relation_is_updatable",
    "pg_sequence_parameters",
    "pg_statistics_obj_is_visible",
    "pg_table_is_visible",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_type_is_visible",
    "satisfies_hash_partition",
    "shobj_description",
];

/// Types whose values are objects' numbers, shown as names.
const OBJECTS: &[&str] = &[
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regnamespace",
    "regrole",
    "regcollation",
    "regconfig",
    "regdictionary",
];

/// Types that show the number.
const NUMBERS: &[&str] = &["int8", "int4", "int", "integer", "bigint", "numeric", "decimal"];

fn is_one(statement: &Statement<'_>, at: usize, names: &[&str]) -> bool {
    statement.name(at).is_some_and(|name| names.iter().any(|one| name.eq_ignore_ascii_case(one)))
}

/// Refuses a catalog in a statement that writes, and what asks for its objects by number. Bodies ask catalogs what exists before they make it; what they do then is the same everywhere.
fn check_catalog(scan: &Scan<'_, '_>, at: usize, word: &str) -> Result<(), Refusal> {
    let statement = scan.statement;
    if scan.body || scan.head.is("do") || statement.follows(at, &["as"]) {
        return Ok(());
    }
    let called = statement.is_symbol(at + 1, "(");
    if called && OF_OBJECTS.contains(&word) {
        return Err(refuse_checked(statement, at, "pg_get_viewdef(…)", word));
    }
    match (CATALOGS.contains(&word) && !called, word == "information_schema" && statement.is_symbol(at + 1, ".")) {
        (true, _) => Err(refuse_checked(statement, at, "pg_class", word)),
        (_, true) => Err(refuse_checked(statement, at, "information_schema", word)),
        _ => Ok(()),
    }
}

/// Whether the cast at `at`, to the type at `named`, shows the number of an object: `'t'::regclass::int8`.
fn numbers_object(statement: &Statement<'_>, at: usize, named: usize) -> bool {
    let mut before = at.saturating_sub(1);
    // Parentheses around `'t'::regclass`.
    while before > 0 && statement.is_symbol(before, ")") {
        before -= 1;
    }
    is_one(statement, named, NUMBERS) && is_object(statement, before)
}

/// Whether the word at `at` is a type called like a function over an object: `int8('t'::regclass)`.
fn calls_number(statement: &Statement<'_>, at: usize, word: &str) -> bool {
    let converts = NUMBERS.contains(&word) || NODE_NUMBERS.contains(&word);
    converts
        && statement.is_symbol(at + 1, "(")
        && closing(statement, at + 1).is_some_and(|close| is_object(statement, close - 1))
}

/// The place of the parenthesis that closes the one at `open`, near enough to be that of a cast.
fn closing(statement: &Statement<'_>, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in open..open + LONGEST_CAST {
        statement.kind(at)?;
        if statement.is_symbol(at, "(") {
            depth += 1;
        } else if statement.is_symbol(at, ")") {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Whether a cast to a type of objects ends at `at`.
fn is_object(statement: &Statement<'_>, at: usize) -> bool {
    let first = statement.qualified_from(at);
    is_one(statement, at, OBJECTS) && (statement.follows_symbol(first, "::") || statement.follows(first, &["as"]))
}

fn object_number(statement: &Statement<'_>, at: usize) -> Refusal {
    refuse_checked(statement, at, "regclass as a number", "an object's number")
}

/// `CAST (… AS oid)`, `CAST ('t'::regclass AS bigint)`.
fn check_cast(statement: &Statement<'_>, at: usize) -> Result<(), Refusal> {
    let named = type_at(statement, at + 1);
    let number = is_one(statement, named, NODE_NUMBERS);
    let mut before = at.saturating_sub(1);
    while before > 0 && statement.is_symbol(before, ")") {
        before -= 1;
    }
    let shown = is_one(statement, named, NUMBERS) && is_object(statement, before);
    // An alias of that name is followed by something else.
    let casts = statement.is_symbol(named + 1, ")") && (number || shown) && in_cast(statement, at);
    if casts { Err(object_number(statement, at)) } else { Ok(()) }
}

/// How far back the beginning of a cast is looked for.
const LONGEST_CAST: usize = 256;

/// Whether the innermost parenthesis around `at` is that of CAST.
fn in_cast(statement: &Statement<'_>, at: usize) -> bool {
    let mut depth = 0_usize;
    for open in (at.saturating_sub(LONGEST_CAST)..at).rev() {
        if statement.is_symbol(open, ")") {
            depth += 1;
        } else if statement.is_symbol(open, "(") {
            if depth == 0 {
                return statement.follows(open, &["cast"]);
            }
            depth -= 1;
        }
    }
    false
}

/// Whether NOWAIT ends a lock clause or begins a statement's options, and is no column.
pub(crate) fn is_lock_option(statement: &Statement<'_>, at: usize) -> bool {
    const BEFORE_COLUMNS: &[&str] = &[
        "select",
        "distinct",
        "set",
        "where",
        "by",
        "and",
        "or",
        "not",
        "column",
        "add",
        "on",
        "when",
        "then",
        "else",
        "as",
        "returning",
        "in",
        "like",
        "between",
        "is",
        "rename",
        "to",
        "drop",
        "alter",
        "key",
        "having",
    ];
    let column = statement.kind(at.wrapping_sub(1)) == Some(Kind::Symbol) || statement.follows(at, BEFORE_COLUMNS);
    statement.kind(at) == Some(Kind::Word) && !column
}

fn names_tablespace(scan: &Scan<'_, '_>, at: usize) -> bool {
    let (statement, head) = (scan.statement, scan.head);
    let defines = ["create", "alter"].contains(&head.first().as_str()) && !scan.body;
    let followed = matches!(statement.kind(at + 1), Some(Kind::Word | Kind::Quoted));
    // `( tablespace text` and `, tablespace text` define a column of that name.
    let column = statement.follows_symbol(at, "(")
        || statement.follows_symbol(at, ",")
        || statement.follows(at, &["column", "add"]);
    defines && followed && !column && !statement.follows_symbol(at, ".")
}

fn is_routine(scan: &Scan<'_, '_>) -> bool {
    let head = scan.head;
    head.is("create function") || head.is("create procedure") || head.is("do")
}

fn check_language(statement: &Statement<'_>, at: usize) -> Result<(), Refusal> {
    let language = statement.name(at).or_else(|| statement.value(at));
    match language {
        Some(name) if !["sql", "plpgsql"].iter().any(|known| name.eq_ignore_ascii_case(known)) => {
            Err(refuse_checked(statement, at, "language …", "LANGUAGE"))
        }
        _ => Ok(()),
    }
}

/// Whether the string at `at` holds a word for the present and is read as a time here.
fn is_present(statement: &Statement<'_>, at: usize) -> bool {
    // Only a text that could hold such a word in any spelling, escapes included, is decoded.
    let raw = statement.raw(at);
    let escaped = raw.contains('\\') || raw.contains('\n');
    if !escaped && !raw.bytes().any(|b| matches!(b, b'w' | b'W' | b'y' | b'Y')) {
        return false;
    }
    is_time(statement, at) && statement.value(at).is_some_and(|value| holds_present(&value))
}

/// Whether a body assigns the string at `at`, which is such a word and not cast to a text: `new.at := 'now'`, `return 'today'`. What it
/// is assigned to may be a time.
fn is_assigned_present(statement: &Statement<'_>, at: usize) -> bool {
    let assigned = statement.follows(at, &["return"])
        || statement.follows_symbol(at, ":=")
        || statement.follows_symbol(at, "=")
            && (statement.follows_symbol(at - 1, ":") || begins_assignment(statement, at - 1));
    assigned && !text_cast(statement, at + 1) && statement.value(at).is_some_and(|value| holds_present(&value))
}

/// Whether the name before the `=` at `sign` begins a statement.
fn begins_assignment(statement: &Statement<'_>, sign: usize) -> bool {
    let Some(name) = sign.checked_sub(1) else { return false };
    let first = statement.qualified_from(name);
    statement.follows_symbol(first, ";") || statement.follows(first, &["begin", "then", "else", "loop"])
}

/// Whether one of the words of `value` means the present to PostgreSQL's input of times.
pub(crate) fn holds_present(value: &str) -> bool {
    value
        .split(|c: char| !c.is_ascii_alphabetic())
        .any(|word| PRESENT.iter().any(|present| word.eq_ignore_ascii_case(present)))
}

/// A cast, a typed literal, a call in the form of a cast, or a DEFAULT that is not of a text type.
pub(crate) fn is_time(statement: &Statement<'_>, at: usize) -> bool {
    let before = at.wrapping_sub(1);
    typed(statement, before)
        || cast_behind(statement, at)
        || statement.is(at + 1, "as") && names_time(statement, type_at(statement, at + 2))
        || statement.is_symbol(before, "(") && names_time(statement, before.wrapping_sub(1))
        || statement.is(before, "default") && !text_cast(statement, at + 1)
}

/// `timestamptz '…'`, `timestamp(3) '…'`, `timestamp with time zone '…'`.
fn typed(statement: &Statement<'_>, before: usize) -> bool {
    let zone = statement.is(before, "zone");
    let precision = statement.is_symbol(before, ")") && names_time(statement, before.wrapping_sub(3));
    zone || precision || names_time(statement, before)
}

/// `'…'::text::timestamptz`, also with parentheses around the string.
fn cast_behind(statement: &Statement<'_>, at: usize) -> bool {
    let mut next = at + 1;
    while statement.is_symbol(next, ")") {
        next += 1;
    }
    while statement.is_symbol(next, "::") {
        let named = type_at(statement, next + 1);
        if names_time(statement, named) {
            return true;
        }
        next = named + 1;
        // The type's modifier or further words: character varying(20).
        while matches!(statement.kind(next), Some(Kind::Word)) {
            next += 1;
        }
        if statement.is_symbol(next, "(") {
            next = statement.closing(next) + 1;
        }
        while statement.is_symbol(next, ")") {
            next += 1;
        }
    }
    false
}

fn text_cast(statement: &Statement<'_>, at: usize) -> bool {
    statement.is_symbol(at, "::")
        && statement.is_any(at + 1, &["text", "varchar", "char", "character", "bpchar", "name", "citext"])
}

/// The last name of a type that may be qualified: `pg_catalog.timestamptz`.
fn type_at(statement: &Statement<'_>, at: usize) -> usize {
    if statement.is_symbol(at + 1, ".") { at + 2 } else { at }
}

fn names_time(statement: &Statement<'_>, at: usize) -> bool {
    statement.name(at).is_some_and(|name| TIMES.iter().any(|time| name.eq_ignore_ascii_case(time)))
}
