//! Catalog: what a DBMS says of its own tables, asked in its own words. Kluster's tables are left out. No I/O.

use kluster_sql::Dialect;

/// A question to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// What stands above its answer; empty: nothing.
    pub title: &'static str,
    /// The read. `$1` is the table's name and `$2` its schema, empty where none was said.
    pub sql: &'static str,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Tables and views.
    Relations,
    /// Tables.
    Tables,
    /// Views.
    Views,
    /// Indexes.
    Indexes,
    /// Every column of every table and view: `relation`, `name`; for completion.
    Columns,
}

/// The read that answers.
pub fn list(dialect: Dialect, about: About) -> &'static str {
    match dialect {
        Dialect::Postgres => postgres(about),
        Dialect::MariaDb => mariadb(about),
        Dialect::Sqlite => sqlite(about),
    }
}

/// The reads that describe one table or view: its columns first, and nothing where it has none.
pub fn describe(dialect: Dialect) -> &'static [Question] {
    match dialect {
        Dialect::Postgres => POSTGRES_TABLE,
        Dialect::MariaDb => MARIADB_TABLE,
        Dialect::Sqlite => SQLITE_TABLE,
    }
}

/// The schema and the name of a table as a person writes it: `public.person`, `"My Table"`. Without quotes PostgreSQL folds it.
pub fn named(dialect: Dialect, text: &str) -> (String, String) {
    let (schema, name) = match text.split_once('.') {
        Some((schema, name)) => (schema, name),
        None => ("", text),
    };
    let fold = |part: &str| match dialect {
        Dialect::Postgres if !part.starts_with('"') => part.to_lowercase(),
        _ => part.trim_matches(['"', '`', '[', ']']).to_owned(),
    };
    (fold(schema), fold(name))
}

fn postgres(about: About) -> &'static str {
    match about {
        About::Relations => {
            "select table_schema as \"schema\", table_name as name, case table_type when 'BASE TABLE' then 'table' else lower(table_type) end as kind from information_schema.tables \
             where table_schema not in ('pg_catalog', 'information_schema', 'kluster', 'kluster_state') order by 1, 2"
        }
        About::Tables => {
            "select table_schema as \"schema\", table_name as name from information_schema.tables where table_type = 'BASE TABLE' and \
             table_schema not in ('pg_catalog', 'information_schema', 'kluster', 'kluster_state') order by 1, 2"
        }
        About::Views => {
            "select schemaname as \"schema\", viewname as name, definition from pg_catalog.pg_views where schemaname not in \
             ('pg_catalog', 'information_schema', 'kluster', 'kluster_state') order by 1, 2"
        }
        About::Indexes => {
            "select schemaname as \"schema\", tablename as \"table\", indexname as name, indexdef as definition from pg_catalog.pg_indexes where \
             schemaname not in ('pg_catalog', 'kluster', 'kluster_state') order by 1, 2, 3"
        }
        About::Columns => {
            "select table_name as relation, column_name as name from information_schema.columns where table_schema not in \
             ('pg_catalog', 'information_schema', 'kluster', 'kluster_state') order by table_name, ordinal_position"
        }
    }
}

const POSTGRES_TABLE: &[Question] = &[
    Question {
        title: "",
        sql: "select a.attname as \"column\", pg_catalog.format_type(a.atttypid, a.atttypmod) as type, \
              case when a.attnotnull then 'not null' else '' end as \"null\", \
              coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') as \"default\" \
              from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
              join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
              left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum \
              where c.relname = $1 and c.relkind in ('r', 'v', 'm', 'p', 'f') and a.attnum > 0 and not a.attisdropped \
              and (n.nspname = $2 or ($2 = '' and pg_catalog.pg_table_is_visible(c.oid))) order by a.attnum",
    },
    Question {
        title: "Indexes",
        sql: "select indexname as name, indexdef as definition from pg_catalog.pg_indexes where tablename = $1 and \
              (schemaname = $2 or ($2 = '' and pg_catalog.pg_table_is_visible((quote_ident(schemaname) || '.' || quote_ident(tablename))::regclass))) \
              order by 1",
    },
    Question {
        title: "Constraints",
        sql: "select k.conname as name, pg_catalog.pg_get_constraintdef(k.oid) as definition from pg_catalog.pg_constraint k \
              join pg_catalog.pg_class c on c.oid = k.conrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
              where c.relname = $1 and (n.nspname = $2 or ($2 = '' and pg_catalog.pg_table_is_visible(c.oid))) order by 1",
    },
];

fn mariadb(about: About) -> &'static str {
    match about {
        About::Relations => {
            "select table_name as name, case table_type when 'BASE TABLE' then 'table' else lower(table_type) end as kind from information_schema.tables where table_schema = database() \
             order by 1"
        }
        About::Tables => {
            "select table_name as name from information_schema.tables where table_schema = database() and table_type = 'BASE TABLE' order by 1"
        }
        About::Views => {
            "select table_name as name, view_definition as definition from information_schema.views where table_schema = database() order by 1"
        }
        About::Indexes => {
            "select table_name as `table`, index_name as name, group_concat(column_name order by seq_in_index separator ', ') as columns, \
             if(non_unique, '', 'unique') as kind from information_schema.statistics where table_schema = database() \
             group by table_name, index_name, non_unique order by 1, 2"
        }
        About::Columns => {
            "select table_name as relation, column_name as name from information_schema.columns where table_schema = database() \
             order by table_name, ordinal_position"
        }
    }
}

const MARIADB_TABLE: &[Question] = &[
    Question {
        title: "",
        sql: "select column_name as `column`, column_type as type, if(is_nullable = 'NO', 'not null', '') as `null`, \
              coalesce(column_default, '') as `default`, extra from information_schema.columns \
              where table_name = $1 and table_schema = if($2 = '', database(), $2) order by ordinal_position",
    },
    Question {
        title: "Indexes",
        sql: "select index_name as name, group_concat(column_name order by seq_in_index separator ', ') as columns, \
              if(non_unique, '', 'unique') as kind from information_schema.statistics \
              where table_name = $1 and table_schema = if($2 = '', database(), $2) group by index_name, non_unique order by 1",
    },
    Question {
        title: "Foreign keys",
        sql: "select constraint_name as name, group_concat(column_name order by ordinal_position separator ', ') as columns, \
              concat(referenced_table_name, ' (', group_concat(referenced_column_name order by ordinal_position separator ', '), ')') as `references` \
              from information_schema.key_column_usage where table_name = $1 and table_schema = if($2 = '', database(), $2) \
              and referenced_table_name is not null group by constraint_name, referenced_table_name order by 1",
    },
];

fn sqlite(about: About) -> &'static str {
    match about {
        About::Relations => {
            "select name, type as kind from sqlite_schema where type in ('table', 'view') and name not like 'kluster\\_%' escape '\\' \
             and name not like 'sqlite\\_%' escape '\\' order by 1"
        }
        About::Tables => {
            "select name from sqlite_schema where type = 'table' and name not like 'kluster\\_%' escape '\\' and name not like 'sqlite\\_%' escape '\\' \
             order by 1"
        }
        About::Views => "select name, sql as definition from sqlite_schema where type = 'view' order by 1",
        About::Indexes => {
            "select tbl_name as \"table\", name, sql as definition from sqlite_schema where type = 'index' and tbl_name not like 'kluster\\_%' escape '\\' \
             order by 1, 2"
        }
        About::Columns => {
            "select t.name as relation, c.name as name from sqlite_schema t join pragma_table_info(t.name) c where t.type in ('table', 'view') \
             and t.name not like 'kluster\\_%' escape '\\' and t.name not like 'sqlite\\_%' escape '\\' order by t.name, c.cid"
        }
    }
}

const SQLITE_TABLE: &[Question] = &[
    Question {
        title: "",
        sql: "select name as \"column\", type, case when \"notnull\" then 'not null' else '' end as \"null\", \
              coalesce(dflt_value, '') as \"default\", case when pk then 'primary key' else '' end as key \
              from pragma_table_info($1) where $2 in ('', 'main') order by cid",
    },
    Question {
        title: "Indexes",
        sql: "select i.name, (select group_concat(c.name, ', ') from pragma_index_info(i.name) c) as columns, \
              case when i.\"unique\" then 'unique' else '' end as kind from pragma_index_list($1) i where $2 in ('', 'main') order by i.name",
    },
    Question {
        title: "Foreign keys",
        sql: "select group_concat(\"from\", ', ') as columns, \"table\" || ' (' || coalesce(group_concat(\"to\", ', '), '') || ')' as \"references\" \
              from pragma_foreign_key_list($1) where $2 in ('', 'main') group by id, \"table\" order by id",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_sql::admit_read;

    #[test]
    fn the_rules_of_reads_take_every_question() {
        for dialect in Dialect::ALL {
            let lists = [About::Relations, About::Tables, About::Views, About::Indexes, About::Columns];
            let questions = describe(dialect).iter().map(|question| question.sql);
            for sql in lists.map(|about| list(dialect, about)).into_iter().chain(questions) {
                assert!(admit_read(dialect, sql).is_ok(), "{dialect:?} {sql}: {:?}", admit_read(dialect, sql));
            }
            for question in describe(dialect) {
                assert_eq!(admit_read(dialect, question.sql).unwrap().params, 2, "{}", question.sql);
            }
        }
    }

    #[test]
    fn names_are_read_as_the_dbms_would() {
        let pair = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        assert_eq!(named(Dialect::Postgres, "Person"), pair("", "person"));
        assert_eq!(named(Dialect::Postgres, "shop.\"Person\""), pair("shop", "Person"));
        assert_eq!(named(Dialect::MariaDb, "`Person`"), pair("", "Person"));
        assert_eq!(named(Dialect::Sqlite, "[My Table]"), pair("", "My Table"));
    }
}
