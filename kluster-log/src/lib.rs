//! kluster-log
