//! A lab: the ports, the gateways, the twins, the attacker and the runs.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::accounts::Accounts;
use crate::app::journal::Journal;
use crate::attacker::LootBox;
use crate::gateway::Gateway;
use crate::net::{Answer, Asked, Port};
use crate::places::Places;
use crate::run::Runs;
use crate::storage::{Site, Storage, Target};
use crate::thief::Door;
use crate::twin::Twin;
use crate::wire::{self, Wire};
use crate::{app, attacker, control, net};

/// Where the page is, unless somebody else is there.
const USUAL_PORT: u16 = 7070;

/// Everything a run needs.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) places: Places,
    pub(crate) accounts: Accounts,
    pub(crate) journal: Journal,
    pub(crate) wire: Wire,
    pub(crate) loot: LootBox,
    pub(crate) door: Door,
    pub(crate) twin: Twin,
    pub(crate) runs: Runs,
    /// How long a page may say nothing.
    pub(crate) deadline: Duration,
    gateways: BTreeMap<Storage, Result<Gateway, String>>,
    // Data of the gateways; gone with the lab.
    _folder: TempDir,
}

/// What a lab is made with.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) sessile: &'a Path,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) storages: &'a [Storage],
    pub(crate) deadline: Duration,
}

impl Lab {
    /// Opens the ports, starts the gateways and serves.
    pub(crate) async fn start(plan: Plan<'_>) -> io::Result<Arc<Self>> {
        let control_port = match plan.listen {
            Some(address) => Port::at(address).await?,
            None => match Port::at(SocketAddr::from(([127, 0, 0, 1], USUAL_PORT))).await {
                Ok(port) => port,
                Err(_) => Port::free().await?,
            },
        };
        let (sites, attackers, upstream) = (Port::free().await?, Port::free().await?, Port::free().await?);
        let places = Places { control: control_port.number(), sites: sites.number(), attacker: attackers.number() };
        let accounts = Accounts::new();
        let folder = TempDir::with_prefix("sessile-lab-")?;
        let gateways = start_gateways(&plan, folder.path(), &places, upstream.number(), &accounts).await;
        let lab = Arc::new(Self {
            places,
            accounts,
            journal: Journal::default(),
            wire: Wire::default(),
            loot: LootBox::default(),
            door: Door::default(),
            twin: Twin::new(),
            runs: Runs::default(),
            deadline: plan.deadline,
            gateways,
            _folder: folder,
        });
        // Weak: the ports stay open as long as the runtime, the gateways as long as the lab.
        control_port.serve(with(&lab, |lab, asked| async move { control::answer(&lab, asked).await }));
        sites.serve(with(&lab, |lab, asked| async move { lab.at_site(asked).await }));
        attackers.serve(with(&lab, |lab, asked| async move { attacker::answer(&lab.places, &lab.loot, &asked) }));
        upstream.serve(with(&lab, |lab, asked| async move { lab.at_upstream(&asked) }));
        Ok(lab)
    }

    /// The gateway of a site, if it runs.
    pub(crate) fn gateway(&self, site: Site) -> Option<&Gateway> {
        self.gateways.get(&site.storage)?.as_ref().ok()
    }

    /// Why a site is not there, if it is not.
    pub(crate) fn why_not(&self, site: Site) -> Option<String> {
        if site.target == Target::Twin {
            return None;
        }
        match self.gateways.get(&site.storage) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why.clone()),
            None => Some("this lab was started without it".to_owned()),
        }
    }

    /// The apps' port: who is meant is in the `Host` field.
    async fn at_site(&self, asked: Asked) -> Answer {
        let Some(site) = Site::of_host(asked.host()) else {
            return net::problem(StatusCode::MISDIRECTED_REQUEST, "there is no app under this name");
        };
        let (mut answer, body) = match (site.target, self.gateway(site)) {
            (Target::Twin, _) => {
                let answer = self.twin.answer(&self.places, &self.journal, &self.accounts, site, &asked);
                (answer, bytes::Bytes::new())
            }
            (Target::Sessile, Some(gateway)) => wire::relay(gateway.port(), &asked).await,
            (Target::Sessile, None) => {
                return net::problem(StatusCode::SERVICE_UNAVAILABLE, "Sessile did not start with this storage");
            }
        };
        self.wire.note(&self.places, site, &asked, &mut answer, &body);
        answer
    }

    /// The app behind the gateways: whose request it is, is what Sessile says.
    fn at_upstream(&self, asked: &Asked) -> Answer {
        let host = asked.header("x-forwarded-host").unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let Some(site) = Site::of_host(host) else {
            return net::problem(StatusCode::MISDIRECTED_REQUEST, "there is no app under this name");
        };
        app::answer(&self.places, &self.journal, site, asked.header("sessile-subject"), asked)
    }
}

/// All at once: each takes a second or two.
async fn start_gateways(
    plan: &Plan<'_>,
    folder: &Path,
    places: &Places,
    upstream: u16,
    accounts: &Accounts,
) -> BTreeMap<Storage, Result<Gateway, String>> {
    let mut starting = JoinSet::new();
    for storage in plan.storages.iter().copied() {
        let (program, folder) = (plan.sessile.to_owned(), folder.join(storage.name()));
        let (places, accounts) = (*places, accounts.clone());
        starting.spawn(async move {
            let started = Gateway::start(&program, folder, storage, &places, upstream, &accounts).await;
            (storage, started.map_err(|why| why.to_string()))
        });
    }
    let mut gateways = BTreeMap::new();
    while let Some(started) = starting.join_next().await {
        // A task that panicked has said so; its storage counts as not started.
        if let Ok((storage, started)) = started {
            gateways.insert(storage, started);
        }
    }
    gateways
}

/// A handler that does not keep the lab alive.
fn with<F>(
    lab: &Arc<Lab>,
    handler: impl Fn(Arc<Lab>, Asked) -> F + Clone + Send + Sync + 'static,
) -> impl Fn(Asked) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync + 'static
where
    F: Future<Output = Answer> + Send + 'static,
{
    let lab = Arc::downgrade(lab);
    move |asked| {
        let (lab, handler) = (lab.upgrade(), handler.clone());
        Box::pin(async move {
            match lab {
                Some(lab) => handler(lab, asked).await,
                None => net::problem(StatusCode::SERVICE_UNAVAILABLE, "the lab has ended"),
            }
        })
    }
}
