//! Fingerprint: a hash over the structure of the user's database, by which a restarted node tells whether a statement that commits by
//! itself had taken effect.
//!
//! Neighbours: [`super::intent`]. It is compared only with one that the same node took before: row counts, statistics and counters of
//! auto-increment are left out, for they move without DDL. InnoDB's table ids are in it, because a statement can leave every name and
//! column as it was and yet exchange tables.

use super::owner::Owner;
use super::session::params;
use sha2::{Digest, Sha256};
use sqlx::Row;

/// View of `information_schema`, its column that names the database, and what of it counts.
const STRUCTURE: &[(&str, &str, &str)] = &[
    ("schemata", "schema_name", "default_collation_name"),
    (
        "tables",
        "table_schema",
        "table_name, table_type, engine, row_format, table_collation, create_options, table_comment",
    ),
    (
        "columns",
        "table_schema",
        "table_name, ordinal_position, column_name, column_default, is_nullable, column_type, collation_name, extra, \
         column_comment, generation_expression",
    ),
    (
        "statistics",
        "table_schema",
        "table_name, index_name, seq_in_index, column_name, non_unique, collation, sub_part, index_type, index_comment, ignored",
    ),
    ("table_constraints", "table_schema", "table_name, constraint_name, constraint_type"),
    (
        "key_column_usage",
        "table_schema",
        "table_name, constraint_name, ordinal_position, column_name, referenced_table_name, referenced_column_name",
    ),
    (
        "referential_constraints",
        "constraint_schema",
        "table_name, constraint_name, unique_constraint_name, match_option, update_rule, delete_rule",
    ),
    ("check_constraints", "constraint_schema", "table_name, constraint_name, level, check_clause"),
    (
        "triggers",
        "trigger_schema",
        "trigger_name, event_object_table, event_manipulation, action_timing, action_order, action_statement, definer, created",
    ),
    (
        "routines",
        "routine_schema",
        "routine_name, routine_type, dtd_identifier, routine_definition, is_deterministic, sql_data_access, security_type, \
         routine_comment, definer, created, last_altered",
    ),
    (
        "parameters",
        "specific_schema",
        "specific_name, ordinal_position, parameter_mode, parameter_name, dtd_identifier",
    ),
    ("views", "table_schema", "table_name, view_definition, check_option, definer, security_type, algorithm"),
    (
        "partitions",
        "table_schema",
        "table_name, partition_name, subpartition_name, partition_ordinal_position, partition_method, partition_expression, \
         partition_description, partition_comment",
    ),
];

/// InnoDB's own list; a name that begins with `#sql` is of a table being built or dropped in the background.
const TABLE_IDS: &str = "select json_array(name, table_id) from information_schema.innodb_sys_tables \
     where substring_index(name, '/', 1) = ? and name not like '%/#sql%' order by 1";

impl Owner {
    /// The fingerprint of the user's database as it is now: SHA-256, hexadecimal.
    pub async fn fingerprint(&mut self, database: &str, in_dictionary: &str) -> Result<String, sqlx::Error> {
        let mut hash = Sha256::new();
        for (view, schema, columns) in STRUCTURE {
            let sql =
                format!("select json_array({columns}) from information_schema.{view} where {schema} = ? order by 1");
            self.hash_rows(&mut hash, view, sql, database).await?;
        }
        self.hash_rows(&mut hash, "table ids", TABLE_IDS.to_owned(), in_dictionary).await?;
        Ok(hex::encode(hash.finalize()))
    }

    async fn hash_rows(&mut self, hash: &mut Sha256, of: &str, sql: String, database: &str) -> Result<(), sqlx::Error> {
        hash.update(of);
        for row in self.session.rows(sql, params![database]).await? {
            let text: String = row.try_get(0)?;
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        Ok(())
    }
}
