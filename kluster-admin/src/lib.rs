//! kluster-admin
