//! kluster-sql
