//! kluster-test-servers
