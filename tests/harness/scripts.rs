//! Scenario scripts: text that a user can read, run unchanged on every kind of cluster, and compared exactly with what was recorded.
//!
//! A script (`tests/scripts/*.txt`) is a list of blocks: commands, then `---`, then what they say, up to an empty line. `#` begins a remark.
//! `UPDATE=1` writes down what is said on the log in memory; every other kind of cluster must then say the same.
//!
//! | command | what it does, and says |
//! |---|---|
//! | `cluster nodes=3` | starts nodes n1, n2, n3 beside empty databases, and waits until all are voters |
//! | `ask all "sql" 1 "b" ; "sql" expect=1` | a request with its params; several statements are an atomic list, `expect=` its guard; `first`, `quorum`, `all` or `logged`. Options: `id=` the messageId, `timeout=2s`, `as=b` another client. Says the result, or how else it ended |
//! | `retry all` | asks the last request again with its own ticket |
//! | `read session "sql"` | `eventual`, `session`, `strong` or `ordered`; says the rows. Options as above |
//! | `send {"messageId":…}` | a line typed into ALL; says each node's answer |
//! | `deliver-again` | the last request of ALL once more; says each node's answer, `(recorded)` where it is that of the first |
//! | `answers` | what each node has answered to the last `ask` |
//! | `crash n2` | as by `kill -9`; with `at=Step` when the node next comes to that step (`kluster_node::step::Step`) |
//! | `wait` | until every node that serves has applied the log's end; `wait crashed n2` until it has come to its step |
//! | `alter n2 "sql"` | runs SQL on its database past Kluster, as nobody may |
//! | `wait stopped n2` | until it says that it has stopped; says why |
//! | `empty n2` | gives a node that does not run an empty database |
//! | `restart n2`, `start n4` | on its own database, or on an empty one; waits until it is ready, `restart n2 stopped` until it has stopped |
//! | `errors` | what nodes that stopped have said on ERRORS |
//! | `status` | what each node says of itself, and whether their chains agree |
//! | `compare` | reads every table with the DBMS's own tool; says the rows if all nodes that serve hold the same |
//!
//! What may differ from run to run or between DBMS is never said: ids, offsets, messages of errors (their codes are).

mod answers;
mod memory;
mod run;
mod say;
mod stage;
mod text;
mod watch;

pub use answers::{Answer, Answers};
pub use run::run;
pub use stage::Place;
