//! kluster-node
