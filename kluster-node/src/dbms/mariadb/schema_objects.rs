//! Schema objects: the user's database as text, one for each object, the same on every node: without counters, statistics, times and accounts,
//! and without the database's own name, which differs between nodes that share a server.
//!
//! Neighbours: `snapshot` sums them; `fingerprint` is for one node's own use and holds what only that node can have.

use super::names::identifier;
use super::session::{Session, params};
use crate::dbms::snapshot::Object;
use sqlx::Row;

/// What an object is called, of which view of `information_schema`, its column that names the database, and what is said of it; several rows
/// under one name are joined in their order.
const OBJECTS: &[(&str, &str, &str, &str)] = &[
    (
        "concat(lower(table_type), ' ', table_name)",
        "tables",
        "table_schema",
        "coalesce(engine, ''), coalesce(table_collation, ''), table_comment",
    ),
    (
        "concat('column ', table_name, '.', column_name)",
        "columns",
        "table_schema",
        "lpad(ordinal_position, 5, '0'), column_type, is_nullable, coalesce(column_default, '-'), coalesce(collation_name, ''), extra, column_comment, coalesce(generation_expression, '')",
    ),
    (
        "concat('index ', table_name, '.', index_name)",
        "statistics",
        "table_schema",
        "lpad(seq_in_index, 3, '0'), column_name, non_unique, coalesce(collation, ''), coalesce(sub_part, ''), index_type, index_comment, ignored",
    ),
    ("concat('constraint ', table_name, '.', constraint_name)", "table_constraints", "table_schema", "constraint_type"),
    (
        "concat('key ', table_name, '.', constraint_name)",
        "key_column_usage",
        "table_schema",
        "lpad(ordinal_position, 3, '0'), column_name, coalesce(referenced_table_name, ''), coalesce(referenced_column_name, '')",
    ),
    (
        "concat('reference ', table_name, '.', constraint_name)",
        "referential_constraints",
        "constraint_schema",
        "coalesce(unique_constraint_name, ''), match_option, update_rule, delete_rule",
    ),
    (
        "concat('check ', table_name, '.', constraint_name)",
        "check_constraints",
        "constraint_schema",
        "level, check_clause",
    ),
    (
        "concat('trigger ', trigger_name)",
        "triggers",
        "trigger_schema",
        "event_object_table, event_manipulation, action_timing, action_order, action_statement",
    ),
    (
        "concat(lower(routine_type), ' ', routine_name)",
        "routines",
        "routine_schema",
        "coalesce(dtd_identifier, ''), coalesce(routine_definition, ''), is_deterministic, sql_data_access, security_type, routine_comment",
    ),
    (
        "concat('parameter of ', specific_name)",
        "parameters",
        "specific_schema",
        "lpad(ordinal_position, 3, '0'), coalesce(parameter_mode, ''), coalesce(parameter_name, ''), coalesce(dtd_identifier, '')",
    ),
    (
        "concat('view ', table_name, ' as')",
        "views",
        "table_schema",
        "view_definition, check_option, security_type, algorithm",
    ),
    (
        "concat('partition ', table_name, '.', partition_name)",
        "partitions",
        "table_schema",
        "coalesce(subpartition_name, ''), coalesce(partition_ordinal_position, ''), coalesce(partition_method, ''), coalesce(partition_expression, ''), coalesce(partition_description, '')",
    ),
];

/// The objects of `database`.
pub async fn of(session: &mut Session, database: &str) -> Result<Vec<Object>, sqlx::Error> {
    let own = format!("{}.", identifier(database));
    let mut objects = Vec::new();
    for (name, view, schema, columns) in OBJECTS {
        // A BLOB, so that no collation of one view meets that of another.
        let sql = format!(
            "select cast(coalesce({name}, '') as binary), cast(json_array({columns}) as binary) from information_schema.{view} where {schema} = ? order by 1, 2"
        );
        let mut last: Option<Object> = None;
        for row in session.rows(sql, params![database]).await? {
            let text = |n: usize| -> Result<String, sqlx::Error> {
                Ok(String::from_utf8_lossy(&row.try_get::<Vec<u8>, _>(n)?).replace(&own, ""))
            };
            let (name, definition) = (text(0)?, text(1)?);
            if name.is_empty() {
                continue;
            }
            match &mut last {
                Some(object) if object.name == name => object.definition.push_str(&definition),
                _ => objects.extend(last.replace(Object { name, definition })),
            }
        }
        objects.extend(last);
    }
    Ok(objects)
}
