//! kluster-tests
