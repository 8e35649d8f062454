//! kluster-client
