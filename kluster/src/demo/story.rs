//! story: the chapters, in their order. Each says what it did, with what it measured, and fails when a claim does not hold.

use super::books::{self, Balanced};
use super::checksum;
use super::orders::{CLIENTS, Figures, Ledger, Orders};
use super::process::Process;
use super::reads::Reads;
use super::screen::Screen;
use super::shop;
use crate::broker::LogServer;
use crate::error::KlusterError;
use crate::up::directory::{Described, Directory, Home};
use futures_util::future::join_all;
use kluster_client::{Client, Options};
use kluster_log::{Log, LogSettings, TopicSettings};
use kluster_protocol::{NodeId, Topic};
use std::time::Duration;
use tokio::time::Instant;

const NODES: usize = 3;
/// The node that is killed.
const VICTIM: usize = 1;
/// How long a person watches orders come in, and go on without a node.
const WATCHED: Duration = Duration::from_secs(8);
/// The client asks a read again after this time without an answer.
const SILENT: Duration = Duration::from_secs(5);
/// A chapter has at least so many answers.
const FEWEST_ORDERS: usize = 300;
const FEWEST_READS: usize = 20;

/// The story, as far as it has been told.
pub(super) struct Story<'a> {
    directory: &'a Directory,
    settings: LogSettings,
    screen: &'a mut Screen,
    begun: Instant,
    nodes: Vec<Process>,
}

impl<'a> Story<'a> {
    /// On this log.
    pub(super) fn new(directory: &'a Directory, log: &LogServer, screen: &'a mut Screen) -> Self {
        let settings = LogSettings::at(log.bootstrap());
        Self { directory, settings, screen, begun: Instant::now(), nodes: Vec::new() }
    }

    /// Tells all of it.
    pub(super) async fn tell(&mut self) -> Result<(), KlusterError> {
        let log = self.cluster().await?;
        self.shop().await?;
        let mut orders = Orders::start(&self.settings).await?;
        self.ordering(&mut orders).await?;
        self.without_one(&mut orders, &log).await?;
        self.comes_back(&log).await?;
        let ledger = orders.finish().await?;
        self.equal(&log, &ledger).await?;
        let took = self.begun.elapsed().as_secs_f64();
        Ok(self.screen.line(&format!("Every claim above was checked. The story took {took:.0} s."))?)
    }

    /// Ends the nodes that run.
    pub(super) async fn end(&mut self) {
        join_all(self.nodes.drain(..).map(Process::end)).await;
    }

    async fn cluster(&mut self) -> Result<Log, KlusterError> {
        self.screen.chapter("A cluster: one log, three databases").await?;
        let log = Log::connect(self.settings.clone()).await?;
        log.create_topics(&TopicSettings::development()).await?;
        let mut home = self.directory.of_database(&self.settings.database)?;
        for index in 0..NODES {
            self.nodes.push(start(&mut home, index, &self.settings)?);
        }
        for node in &mut self.nodes {
            node.says(|said| said.ready && said.voters == NODES).await?;
        }
        let took = self.begun.elapsed().as_secs_f64();
        self.screen.line(&format!("The log is in this process, at {}.", self.settings.bootstrap))?;
        let pids = self.nodes.iter().map(|node| format!("{} (process {})", node.id, node.pid().unwrap_or_default()));
        self.screen
            .line(&format!("Nodes, each with a SQLite file of its own: {}.", pids.collect::<Vec<_>>().join(", ")))?;
        self.screen.held(&format!("All {NODES} count, {took:.2} s after the start."))?;
        Ok(log)
    }

    async fn shop(&mut self) -> Result<(), KlusterError> {
        self.screen.chapter("A shop").await?;
        let client = Client::connect_with(self.settings.clone(), Options::default()).await;
        let client = client.map_err(|error| KlusterError::Log(error.to_string()))?;
        let begun = Instant::now();
        let loaded = shop::load(&client).await?;
        let took = begun.elapsed().as_secs_f64();
        Ok(self.screen.held(&format!(
            "{} tables, {} customers, {} products, on every node after {took:.2} s.",
            loaded.tables, loaded.customers, loaded.products
        ))?)
    }

    async fn ordering(&mut self, orders: &mut Orders) -> Result<(), KlusterError> {
        self.screen.chapter(&format!("{CLIENTS} clients order at once")).await?;
        self.screen.line("Each order takes pieces from the stock and books them, both or neither; if too few are left, it is refused.")?;
        let mark = orders.mark();
        self.watched().await;
        orders.answered(&mark, FEWEST_ORDERS).await?;
        Ok(self.screen.held(&sentence(&orders.since(&mark)))?)
    }

    async fn without_one(&mut self, orders: &mut Orders, log: &Log) -> Result<(), KlusterError> {
        let victim = &mut self.nodes[VICTIM];
        let (id, pid) = (victim.id.clone(), victim.pid().unwrap_or_default());
        self.screen.chapter(&format!("kill -9 {id}")).await?;
        let (mark, end) = (orders.mark(), log.range(Topic::All, 0).await?.end);
        victim.kill().await?;
        self.screen.breaks(&format!("{id} (process {pid}) is gone. The clients go on:"))?;
        let reads = Reads::start(&self.settings, orders).await?;
        self.watched().await;
        orders.answered(&mark, FEWEST_ORDERS).await?;
        let (count, times) = reads.finish(FEWEST_READS).await?;
        let missed = log.range(Topic::All, 0).await?.end.get() - end.get();
        self.screen.held(&sentence(&orders.since(&mark)))?;
        self.screen
            .held(&format!("{count} reads answered ({times}); each saw every order acknowledged before it began."))?;
        if times.slowest > SILENT {
            let patience = SILENT.as_secs();
            self.screen
                .line(&format!("(A read that {id} does not answer is asked again of another after {patience} s.)"))?;
        }
        Ok(self.screen.line(&format!("{id} has missed {missed} records by now."))?)
    }

    async fn comes_back(&mut self, log: &Log) -> Result<(), KlusterError> {
        let id = self.nodes[VICTIM].id.clone();
        self.screen.chapter(&format!("{id} comes back")).await?;
        let begun = Instant::now();
        let node = &mut self.nodes[VICTIM];
        node.begin()?;
        let from = node.says(|said| said.next > 0).await?.next;
        let end = log.range(Topic::All, 0).await?.end.get();
        let bar = self.screen.bar(from, end);
        loop {
            let at = node.said().next;
            bar.set_position(at.min(end).saturating_sub(from));
            if at >= end {
                break;
            }
            node.says(|said| said.next > at).await?;
        }
        node.says(|said| said.ready).await?;
        bar.finish_and_clear();
        let (took, count) = (begun.elapsed().as_secs_f64(), end.saturating_sub(from));
        Ok(self.screen.held(&format!(
            "It went on behind its own applied offset, {}, and had caught up with {count} records {took:.2} s after its start.",
            from.saturating_sub(1)
        ))?)
    }

    async fn equal(&mut self, log: &Log, ledger: &Ledger) -> Result<(), KlusterError> {
        self.screen.chapter("The same everywhere?").await?;
        let names: Vec<NodeId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        let held = checksum::of_each(log, &names).await?;
        for (node, held) in &held {
            self.screen.line(&format!("{node} at offset {}: {}", held.offset, held.checksum))?;
        }
        let Balanced { checksum, rows, orders, sold, left } = books::balance(&held, ledger)?;
        self.screen.held(&format!("One checksum, {checksum}, over all {rows} rows on all {NODES} nodes."))?;
        self.screen.held(&format!("{orders} orders acknowledged, {orders} present, none twice."))?;
        Ok(self
            .screen
            .held(&format!("{sold} pieces sold and {left} left are the {} of the beginning.", sold + left))?)
    }

    /// A person watches for a while.
    async fn watched(&self) {
        if self.screen.is_slow() {
            tokio::time::sleep(WATCHED).await;
        }
    }
}

fn start(home: &mut Home, index: usize, settings: &LogSettings) -> Result<Process, KlusterError> {
    let id = NodeId::new(format!("n{}", index + 1));
    let file = home.file(&id);
    let described =
        Described { id: id.clone(), dbms: "SQLite".to_owned(), at: file.display().to_string(), own_file: true };
    home.remember(&described)?;
    Process::start(id, file, &settings.bootstrap)
}

fn sentence(figures: &Figures) -> String {
    format!(
        "{} orders acknowledged, {:.0} a second ({}); {} refused, for it was sold out.",
        figures.acknowledged,
        figures.each_second(),
        figures.times,
        figures.sold_out
    )
}
