//! kluster-protocol
