//! What each served request holds, version by version, for the walk before decoding. Read off the decoders of `kafka-protocol`; a test holds each
//! against them, in every version.

use crate::frame::shape::{BYTES, NEVER, Shape, TEXT, TEXTS, fixed, list, maybe, rows, shape};

pub(super) const PRODUCE: Shape =
    shape(9, &[TEXT, fixed(2), fixed(4), rows(&[TEXT.until(12), fixed(16).since(13), rows(&[fixed(4), BYTES])])]);
pub(super) const FETCH: Shape = shape(
    12,
    &[
        fixed(4).until(14),
        fixed(4),
        fixed(4),
        fixed(4),
        fixed(1),
        fixed(4).since(7),
        fixed(4).since(7),
        rows(&[
            TEXT.until(12),
            fixed(16).since(13),
            rows(&[fixed(4), fixed(4).since(9), fixed(8), fixed(4).since(12), fixed(8).since(5), fixed(4)]),
        ]),
        rows(&[TEXT.since(7).until(12), fixed(16).since(13), list(4).since(7)]).since(7),
        TEXT.since(11),
    ],
);
pub(super) const LIST_OFFSETS: Shape = shape(
    6,
    &[fixed(4), fixed(1).since(2), rows(&[TEXT, rows(&[fixed(4), fixed(4).since(4), fixed(8)])]), fixed(4).since(10)],
);
pub(super) const METADATA: Shape =
    shape(9, &[rows(&[fixed(16).since(10), TEXT]), fixed(1).since(4), fixed(1).since(8).until(10), fixed(1).since(8)]);
pub(super) const API_VERSIONS: Shape = shape(3, &[TEXT.since(3), TEXT.since(3)]);
pub(super) const CREATE_TOPICS: Shape =
    shape(5, &[rows(&[TEXT, fixed(4), fixed(2), rows(&[fixed(4), list(4)]), rows(&[TEXT, TEXT])]), fixed(4), fixed(1)]);
pub(super) const DELETE_TOPICS: Shape =
    shape(4, &[rows(&[TEXT.since(6), fixed(16).since(6)]).since(6), TEXTS.until(5), fixed(4)]);
pub(super) const DELETE_RECORDS: Shape = shape(2, &[rows(&[TEXT, rows(&[fixed(4), fixed(8)])]), fixed(4)]);
pub(super) const INIT_PRODUCER_ID: Shape = shape(2, &[TEXT, fixed(4), fixed(8).since(3), fixed(2).since(3)]);
pub(super) const OFFSET_FOR_LEADER_EPOCH: Shape =
    shape(4, &[fixed(4).since(3), rows(&[TEXT, rows(&[fixed(4), fixed(4), fixed(4)])])]);
pub(super) const DESCRIBE_CONFIGS: Shape = shape(4, &[rows(&[fixed(1), TEXT, TEXTS]), fixed(1), fixed(1).since(3)]);
pub(super) const ALTER_CONFIGS: Shape = shape(2, &[rows(&[fixed(1), TEXT, rows(&[TEXT, TEXT])]), fixed(1)]);
pub(super) const CREATE_PARTITIONS: Shape = shape(2, &[rows(&[TEXT, fixed(4), rows(&[list(4)])]), fixed(4), fixed(1)]);
pub(super) const INCREMENTAL_ALTER_CONFIGS: Shape =
    shape(1, &[rows(&[fixed(1), TEXT, rows(&[TEXT, fixed(1), TEXT])]), fixed(1)]);
pub(super) const DESCRIBE_CLUSTER: Shape = shape(0, &[fixed(1), fixed(1).since(1), fixed(1).since(2)]);
pub(super) const DESCRIBE_TOPIC_PARTITIONS: Shape = shape(0, &[rows(&[TEXT]), fixed(4), maybe(&[TEXT, fixed(4)])]);
pub(super) const FIND_COORDINATOR: Shape = shape(3, &[TEXT.until(3), fixed(1).since(1), TEXTS.since(4)]);
pub(super) const JOIN_GROUP: Shape =
    shape(6, &[TEXT, fixed(4), fixed(4).since(1), TEXT, TEXT.since(5), TEXT, rows(&[TEXT, BYTES]), TEXT.since(8)]);
pub(super) const SYNC_GROUP: Shape =
    shape(4, &[TEXT, fixed(4), TEXT, TEXT.since(3), TEXT.since(5), TEXT.since(5), rows(&[TEXT, BYTES])]);
pub(super) const HEARTBEAT: Shape = shape(4, &[TEXT, fixed(4), TEXT, TEXT.since(3)]);
pub(super) const LEAVE_GROUP: Shape =
    shape(4, &[TEXT, TEXT.until(2), rows(&[TEXT.since(3), TEXT.since(3), TEXT.since(5)]).since(3)]);
pub(super) const OFFSET_COMMIT: Shape = shape(
    8,
    &[
        TEXT,
        fixed(4),
        TEXT,
        TEXT.since(7),
        fixed(8).until(4),
        rows(&[TEXT, rows(&[fixed(4), fixed(8), fixed(4).since(6), TEXT])]),
    ],
);
pub(super) const OFFSET_FETCH: Shape = shape(
    6,
    &[
        TEXT.until(7),
        rows(&[TEXT.until(7), list(4).until(7)]).until(7),
        rows(&[TEXT.since(8), TEXT.since(9), fixed(4).since(9), rows(&[TEXT.since(8), list(4).since(8)]).since(8)])
            .since(8),
        fixed(1).since(7),
    ],
);
pub(super) const DESCRIBE_GROUPS: Shape = shape(5, &[TEXTS, fixed(1).since(3)]);
pub(super) const LIST_GROUPS: Shape = shape(3, &[TEXTS.since(4), TEXTS.since(5)]);
pub(super) const DELETE_GROUPS: Shape = shape(2, &[TEXTS]);
pub(super) const OFFSET_DELETE: Shape = shape(NEVER, &[TEXT, rows(&[TEXT, rows(&[fixed(4)])])]);
pub(super) const SASL_HANDSHAKE: Shape = shape(NEVER, &[TEXT]);
pub(super) const SASL_AUTHENTICATE: Shape = shape(2, &[BYTES]);
pub(super) const DESCRIBE_ACLS: Shape = shape(2, &[fixed(1), TEXT, fixed(1), TEXT, TEXT, fixed(1), fixed(1)]);
pub(super) const CREATE_ACLS: Shape = shape(2, &[rows(&[fixed(1), TEXT, fixed(1), TEXT, TEXT, fixed(1), fixed(1)])]);
pub(super) const DELETE_ACLS: Shape = shape(2, &[rows(&[fixed(1), TEXT, fixed(1), TEXT, TEXT, fixed(1), fixed(1)])]);
pub(super) const ALTER_REPLICA_LOG_DIRS: Shape = shape(2, &[rows(&[TEXT, rows(&[TEXT, list(4)])])]);
pub(super) const DESCRIBE_LOG_DIRS: Shape = shape(2, &[rows(&[TEXT, list(4)])]);
pub(super) const CREATE_DELEGATION_TOKEN: Shape =
    shape(2, &[TEXT.since(3), TEXT.since(3), rows(&[TEXT, TEXT]), fixed(8)]);
pub(super) const RENEW_DELEGATION_TOKEN: Shape = shape(2, &[BYTES, fixed(8)]);
pub(super) const EXPIRE_DELEGATION_TOKEN: Shape = shape(2, &[BYTES, fixed(8)]);
pub(super) const DESCRIBE_DELEGATION_TOKEN: Shape = shape(2, &[rows(&[TEXT, TEXT])]);
pub(super) const ELECT_LEADERS: Shape = shape(2, &[fixed(1).since(1), rows(&[TEXT, list(4)]), fixed(4)]);
pub(super) const ALTER_PARTITION_REASSIGNMENTS: Shape =
    shape(0, &[fixed(4), fixed(1).since(1), rows(&[TEXT, rows(&[fixed(4), list(4)])])]);
pub(super) const LIST_PARTITION_REASSIGNMENTS: Shape = shape(0, &[fixed(4), rows(&[TEXT, list(4)])]);
pub(super) const DESCRIBE_CLIENT_QUOTAS: Shape = shape(1, &[rows(&[TEXT, fixed(1), TEXT]), fixed(1)]);
pub(super) const ALTER_CLIENT_QUOTAS: Shape =
    shape(1, &[rows(&[rows(&[TEXT, TEXT]), rows(&[TEXT, fixed(8), fixed(1)])]), fixed(1)]);
pub(super) const DESCRIBE_USER_SCRAM_CREDENTIALS: Shape = shape(0, &[rows(&[TEXT])]);
pub(super) const ALTER_USER_SCRAM_CREDENTIALS: Shape =
    shape(0, &[rows(&[TEXT, fixed(1)]), rows(&[TEXT, fixed(1), fixed(4), BYTES, BYTES])]);
pub(super) const DESCRIBE_PRODUCERS: Shape = shape(0, &[rows(&[TEXT, list(4)])]);
pub(super) const DESCRIBE_TRANSACTIONS: Shape = shape(0, &[TEXTS]);
pub(super) const LIST_TRANSACTIONS: Shape = shape(0, &[TEXTS, list(8), fixed(8).since(1), TEXT.since(2)]);
pub(super) const CONSUMER_GROUP_HEARTBEAT: Shape =
    shape(0, &[TEXT, TEXT, fixed(4), TEXT, TEXT, fixed(4), TEXTS, TEXT.since(1), TEXT, rows(&[fixed(16), list(4)])]);
pub(super) const CONSUMER_GROUP_DESCRIBE: Shape = shape(0, &[TEXTS, fixed(1)]);
pub(super) const LIST_CONFIG_RESOURCES: Shape = shape(0, &[list(1).since(1)]);
