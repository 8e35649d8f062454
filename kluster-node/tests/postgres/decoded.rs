//! Effects learnt from the server's own log: what triggers and cascades change is seen, no physical order matters, and no offset is counted twice or left
//! out, whatever is killed.

use crate::alone;
use crate::contract::*;
use kluster_node::dbms::{Dbms, Finish, Ran, Work};
use kluster_node::effects::{EffectsTrail, Run};
use kluster_protocol::{Effects, EffectsDetail, EffectsMeans, Offset, RunningEffects};
use kluster_test_servers::{PostgresOptions, PostgresServer, until};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A server whose log can be decoded.
async fn server(more: &[(&str, &str)]) -> PostgresServer {
    let fixed = [
        ("wal_level", "logical"),
        ("kluster.effects", "decoded"),
        ("max_replication_slots", "60"),
        ("max_wal_senders", "60"),
    ];
    let settings = fixed.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    PostgresServer::start_with(PostgresOptions { settings, ..PostgresOptions::default() }).await.unwrap()
}

/// A server of the test's own, for a slot is made only when all transactions of its server have ended. It lives as long as the tests.
async fn own() -> &'static PostgresServer {
    Box::leak(Box::new(server(&[]).await))
}

async fn database(server: &'static PostgresServer) -> crate::Shared {
    crate::Shared { server, database: server.new_database("t").await.unwrap() }
}

/// A node's database with what follows its log.
struct Node {
    db: Dbms,
    trail: EffectsTrail,
    follower: JoinHandle<()>,
}

impl Node {
    async fn open(place: &impl Place) -> Self {
        let mut db = Dbms::open(&place.settings()).await.unwrap();
        let state = db.load().await.unwrap();
        let stored = state.as_ref().and_then(|row| {
            let state: serde_json::Value = serde_json::from_str(&row.state).unwrap();
            serde_json::from_value::<Option<RunningEffects>>(state["effects"].clone()).unwrap()
        });
        let (by, trail) = (db.effects(), EffectsTrail::default());
        assert_eq!(by.means(), EffectsMeans::Decoded);
        let counted = by.resume(stored, state.map(|row| row.applied));
        trail.holds("PostgreSQL", &by, counted.as_ref());
        let follower = tokio::spawn(db.effects_follower(trail.clone()).unwrap());
        Self { db, trail, follower }
    }

    /// Applies a batch and stores how far effects are counted, as a node does.
    async fn apply(&mut self, works: &[Work]) -> Vec<Ran> {
        let predecessor = self.db.load().await.unwrap().map(|row| row.applied);
        let ran = self.db.run(predecessor, works).await.unwrap();
        assert_eq!(self.db.commit(&self.finish(predecessor, works)).await, Ok(None));
        ran
    }

    fn finish(&self, predecessor: Option<Offset>, works: &[Work]) -> Finish {
        let applied = works.last().unwrap().offset;
        let state = json!({"applied": applied, "effects": self.trail.counted()}).to_string();
        Finish { state, ..finish(predecessor.map(Offset::get), applied.get()) }
    }

    async fn run(&mut self, offset: u64, sql: &str) -> Ran {
        self.apply(&[work(offset, sql)]).await.remove(0)
    }

    async fn define(&mut self, offset: u64, sql: &str) {
        self.apply(&[alone(offset, sql)]).await.remove(0).unwrap();
    }

    /// What is known of each offset up to this one, once it is.
    async fn known(&self, offset: u64) -> EffectsDetail {
        until("the effects are known", async || {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.trail.known_through() >= Some(at(offset))
        })
        .await;
        let run = Run { node: "n1".into(), instance_id: "i".into() };
        self.trail.detail(&run, None, at(offset)).unwrap()
    }

    async fn close(self) {
        self.follower.abort();
        self.db.close().await;
    }
}

/// The effects of one offset.
fn of(detail: &EffectsDetail, offset: u64) -> Effects {
    detail.each.iter().find(|(at, _)| at.get() == offset).map_or(Effects::NONE, |(_, effects)| *effects)
}

const SCHEMA: &[&str] = &[
    "create table customer (id int primary key, total int not null default 0, note text)",
    "create table item (id int primary key, customer int references customer on update cascade on delete cascade, price int)",
    "create table numbered (id int, place int primary key)",
    "create table counter (n int)",
    "insert into counter values (0)",
    "create function add_up() returns trigger language plpgsql as $$ begin
         update customer set total = total + new.price where id = new.customer;
         update counter set n = n + new.price;
         return null;
     end $$",
    "create trigger add_up after insert on item for each row execute function add_up()",
    "create function number() returns trigger language plpgsql as $$ begin
         insert into numbered select new.id, coalesce(max(place), 0) + 1 from numbered;
         return null;
     end $$",
];

/// A node with the schema, offsets 0 to 9, whose cart was filled in this order, offsets 10 to 12.
async fn shop(server: &'static PostgresServer, order: [u32; 3]) -> Node {
    let mut node = Node::open(&database(server).await).await;
    for (offset, sql) in SCHEMA.iter().enumerate() {
        node.define(offset as u64, sql).await;
    }
    node.define(8, "create table cart (id int, price int)").await;
    node.define(9, "insert into customer values (1), (2)").await;
    for (n, id) in order.into_iter().enumerate() {
        node.run(10 + n as u64, &format!("insert into cart values ({id}, {id}0)")).await.unwrap();
    }
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_and_cascades_are_seen_and_states_in_between_are_not() {
    let (server, mut details) = (own().await, Vec::new());
    for order in [[1, 2, 3], [3, 1, 2]] {
        let mut node = shop(server, order).await;
        // The totals in between follow the order of the cart; in the end they are the same.
        node.run(20, "insert into item select id, 1, price from cart").await.unwrap();
        node.run(21, "update customer set id = 7 where id = 1").await.unwrap();
        node.run(22, "update customer set note = repeat('x', 100) where id = 7").await.unwrap();
        node.run(23, "delete from customer where id = 7").await.unwrap();
        node.apply(&[work(24, "insert into customer values (2)"), work(25, "select 1")]).await;
        details.push(node.known(25).await);
        node.close().await;
    }
    assert_eq!(details[0].first_difference(&details[1]), Some(at(10)), "the carts were filled by unlike requests");
    for offset in 20..=25 {
        assert_eq!(of(&details[0], offset), of(&details[1], offset), "{offset}");
        assert_eq!(of(&details[0], offset).is_none(), offset >= 24, "{offset}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_numbers_in_the_order_of_rows_is_a_difference_at_its_offset() {
    let (server, mut details) = (own().await, Vec::new());
    for order in [[1, 2, 3], [3, 1, 2]] {
        let mut node = shop(server, order).await;
        node.define(20, "truncate cart").await;
        node.define(21, "insert into cart values (1, 1), (2, 1), (3, 1)").await;
        node.define(22, "create trigger number after insert on item for each row execute function number()").await;
        // The physical order of the cart is this node's own.
        let table = match order {
            [1, ..] => "cart",
            _ => "(select * from cart order by id desc) as cart",
        };
        node.run(23, &format!("insert into item select id, 1, price from {table}")).await.unwrap();
        node.run(24, "update customer set total = 0").await.unwrap();
        details.push(node.known(24).await);
        node.close().await;
    }
    let behind = |detail: &EffectsDetail| EffectsDetail { after: Some(at(20)), ..detail.clone() };
    assert_eq!(behind(&details[0]).first_difference(&behind(&details[1])), Some(at(23)));
    assert_eq!(of(&details[0], 24), of(&details[1], 24));
}

/// Every request of a short life, one that is refused included.
fn life() -> Vec<Work> {
    let mut works = vec![work(30, "insert into item values (1, 1, 5)"), work(31, "insert into item values (1, 1, 5)")];
    works.extend((32..60).map(|n| work(n, &format!("insert into item values ({n}, 2, {n})"))));
    works.push(work(60, "update item set price = price + 1 where id > 40"));
    works.push(work(61, "delete from customer where id = 1"));
    works
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_rollbacks_restarts_and_lost_sessions_change_no_digest() {
    let (server, mut all) = (own().await, Vec::new());
    for size in [1, 7, 32] {
        let place = database(server).await;
        let mut node = Node::open(&place).await;
        for (offset, sql) in SCHEMA.iter().chain(&["insert into customer values (1), (2)"]).enumerate() {
            node.define(offset as u64, sql).await;
        }
        for (n, batch) in life().chunks(size).enumerate() {
            let predecessor = node.db.load().await.unwrap().map(|row| row.applied);
            if n % 2 == 0 {
                // Executed, abandoned and executed again.
                node.db.run(predecessor, batch).await.unwrap();
            }
            node.apply(batch).await;
            if size == 7 {
                node.known(batch[0].offset.get().min(40)).await;
                node.close().await;
                node = Node::open(&place).await;
            }
            if size == 32 {
                place.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()").await;
            }
        }
        node.known(61).await;
        all.push(node.trail.counted().unwrap());
        node.close().await;
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    assert_eq!((all[0].since, all[0].at), (None, Some(at(61))));
}

/// When a server is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// Just behind a commit, which the server has not written to the disk: it takes back that batch, and whatever else was committed since the last
    /// write.
    Behind,
    /// Once the commit is on the disk; the follower may not have read it yet.
    Written,
    /// Once the follower has counted the batch, and no state row has stored the count.
    Counted,
    /// In the middle of the next batch.
    Within,
}

/// The batches of a life from an empty database on: a kill may take back the schema as well.
fn batches() -> Vec<Vec<Work>> {
    let schema = SCHEMA.iter().chain(&["insert into customer values (1), (2)"]).enumerate();
    let schema = schema.map(|(offset, sql)| vec![alone(offset as u64, sql)]);
    schema.chain(life().chunks(5).map(<[Work]>::to_vec)).collect()
}

/// What was counted at the end of a life without kills, or with one behind every `every`th batch, each second time of the node as well; and how many
/// kills took something back, and how many did not.
async fn counted_through_kills(every: Option<usize>) -> (RunningEffects, [usize; 2]) {
    // So that a kill takes back several batches.
    let server = server(&[("wal_writer_delay", "1s")]).await;
    server.create_database("shop").await.unwrap();
    let place = Killed(server);
    let (batches, mut node) = (batches(), Node::open(&place).await);
    let (mut next, mut killed, mut took, mut kept) = (0, 0, 0, 0);
    let mut due = every.map(|every| every - 1);
    while let Some(batch) = batches.get(next) {
        node.apply(batch).await;
        let last = batch.last().unwrap().offset;
        // Once at each place, for what was taken back is executed again.
        if due == Some(next) {
            due = due.zip(every).map(|(due, every)| due + every);
            let kill = [Kill::Behind, Kill::Written, Kill::Behind, Kill::Counted, Kill::Within][killed % 5];
            match kill {
                Kill::Behind => {}
                Kill::Written => drop(place.0.sql("shop", "checkpoint").await.unwrap()),
                Kill::Counted => drop(node.known(last.get()).await),
                Kill::Within => drop(match batches.get(next + 1) {
                    Some(batch) => node.db.run(Some(last), batch).await.unwrap(),
                    None => Vec::new(),
                }),
            }
            place.0.kill9().await.unwrap();
            place.0.restart().await.unwrap();
            if killed.is_multiple_of(2) {
                node.close().await;
                node = Node::open(&place).await;
            } else {
                node.db.recover().await.unwrap();
            }
            killed += 1;
            let applied = node.db.load().await.unwrap().map(|row| row.applied);
            let is_left = |batch: &Vec<Work>| batch.last().map(|work| work.offset) > applied;
            *(if applied == Some(last) { &mut kept } else { &mut took }) += 1;
            next = batches.iter().position(is_left).unwrap_or(batches.len());
        } else {
            next += 1;
        }
    }
    node.known(61).await;
    let counted = node.trail.counted().unwrap();
    node.close().await;
    (counted, [took, kept])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_nothing_out_and_counts_nothing_twice() {
    let (undisturbed, none) = counted_through_kills(None).await;
    assert_eq!((none, undisturbed.since, undisturbed.at), ([0, 0], None, Some(at(61))));
    let (mut took, mut kept) = (0, 0);
    for every in [1, 4] {
        let (counted, kills) = counted_through_kills(Some(every)).await;
        assert_eq!(counted, undisturbed, "a kill behind each {every}.");
        assert_eq!(kills.iter().sum::<usize>(), batches().len() / every);
        (took, kept) = (took + kills[0], kept + kills[1]);
    }
    assert!(took > 0 && kept > 0, "{took} kills took something back, {kept} did not");
}

/// A server of its own.
struct Killed(PostgresServer);

impl Place for Killed {
    fn settings(&self) -> kluster_node::dbms::DbmsSettings {
        crate::settings(self.0.url("shop"))
    }
}

/// A slot that nobody reads would keep the server's log without end.
#[tokio::test(flavor = "multi_thread")]
async fn who_no_longer_reads_the_servers_log_gives_its_slot_up() {
    let place = database(own().await).await;
    let slots = "select count(*) from pg_replication_slots where database = current_database()";
    let node = Node::open(&place).await;
    until("the slot is made", async || place.sql(slots).await == "1").await;
    node.close().await;
    assert_eq!(place.sql(slots).await, "1", "a node that is started again goes on where it was");
    place.sql(&format!("alter database {} set kluster.effects = 'returned'", place.database)).await;
    let db = Dbms::open(&place.settings()).await.unwrap();
    assert_eq!(db.effects().means(), EffectsMeans::Wrapped);
    assert_eq!(place.sql(slots).await, "0");
    db.close().await;
}
