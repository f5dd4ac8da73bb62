use std::thread::sleep;
use std::time::{Duration, Instant};

use super::redis::Redis;

const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis Cluster of three masters, with or without a replica for each.
#[derive(Debug)]
pub struct RedisCluster {
    masters: Vec<Redis>,
    replicas: Vec<Redis>,
}

impl RedisCluster {
    /// Three masters that share the slots evenly, once all of them agree that the cluster serves.
    pub fn start() -> Self {
        Self::start_nodes(0)
    }

    /// The same with a replica of each master, once it has caught up. A master that is silent for 2 seconds is replaced.
    pub fn start_with_replicas() -> Self {
        Self::start_nodes(SLOTS.len())
    }

    fn start_nodes(replicas: usize) -> Self {
        let timeout = if replicas == 0 { "5000" } else { "2000" };
        let settings = ["--cluster-enabled", "yes", "--appendonly", "yes", "--cluster-node-timeout", timeout];
        let start = |count: usize| (0..count).map(|_| Redis::start(&settings)).collect();
        let cluster = Self { masters: start(SLOTS.len()), replicas: start(replicas) };
        let first = cluster.masters[0].port().to_string();
        for (master, (from, to)) in cluster.masters.iter().zip(SLOTS) {
            tell(master, &["CLUSTER", "ADDSLOTSRANGE", from, to]);
        }
        for node in cluster.nodes().skip(1) {
            tell(node, &["CLUSTER", "MEET", "127.0.0.1", &first]);
        }
        cluster.wait_until_it_serves();
        for (master, replica) in cluster.masters.iter().zip(&cluster.replicas) {
            tell(replica, &["CLUSTER", "REPLICATE", &id(master)]);
        }
        for replica in &cluster.replicas {
            replica.wait_until(&["INFO", "replication"], "master_link_status:up");
        }
        cluster
    }

    /// The nodes that began as masters.
    pub fn masters(&self) -> &[Redis] {
        &self.masters
    }

    /// The nodes that began as replicas, each of the master in the same place.
    pub fn replicas(&self) -> &[Redis] {
        &self.replicas
    }

    /// All nodes, masters first.
    pub fn nodes(&self) -> impl Iterator<Item = &Redis> {
        self.masters.iter().chain(&self.replicas)
    }

    /// Masters and replicas, for one who keeps them apart. Together they are still the cluster.
    pub fn into_nodes(self) -> (Vec<Redis>, Vec<Redis>) {
        (self.masters, self.replicas)
    }

    /// Their addresses, with commas between them.
    pub fn addresses(&self) -> String {
        self.nodes().map(|node| format!("127.0.0.1:{}", node.port())).collect::<Vec<_>>().join(",")
    }

    // Every node knows every other, and finds that all slots are served.
    fn wait_until_it_serves(&self) {
        let known = format!("cluster_known_nodes:{}\r", self.nodes().count());
        let agrees = |node: &Redis| {
            let info: String =
                node.ask(&["CLUSTER", "INFO"]).and_then(|info| Ok(redis::from_redis_value(info)?)).unwrap_or_default();
            info.contains("cluster_state:ok") && info.contains(&known)
        };
        let begun = Instant::now();
        while !self.nodes().all(agrees) {
            assert!(begun.elapsed() < PATIENCE, "the nodes do not come together");
            sleep(Duration::from_millis(50));
        }
    }
}

fn id(node: &Redis) -> String {
    let id = node.ask(&["CLUSTER", "MYID"]).expect("a node of ours");
    redis::from_redis_value(id).expect("an id")
}

fn tell(node: &Redis, command: &[&str]) {
    node.ask(command).unwrap_or_else(|fault| panic!("{command:?}: {fault}"));
}
