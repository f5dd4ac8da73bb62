//! A tab of the visitor's browser, as the lab works it: each page asks for the next thing to do, does it, and says what
//! came of it. A page that says nothing by its deadline is [`Silent`]; nothing here waits for ever.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::net::encode;
use crate::pages::Visit;

/// What a page says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Words {
    /// Which load of the tab it is.
    pub(crate) visit: u64,
    /// Which of the lab's scripts is speaking.
    pub(crate) page: String,
    /// Where it is, without query.
    pub(crate) href: String,
    /// What came of the last order.
    pub(crate) answer: Option<Reply>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reply {
    id: u64,
    value: Option<Value>,
    error: Option<String>,
}

/// What a page said, and where its next order goes.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) words: Words,
    pub(crate) next: oneshot::Sender<Value>,
}

/// The tab said nothing in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page said nothing for {} s while the lab waited for {what}", after.as_secs_f32())]
pub(crate) struct Silent {
    what: String,
    after: Duration,
}

/// Where a tab is.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    /// Which of the lab's scripts speaks there.
    pub(crate) page: String,
    /// Its address, without query.
    pub(crate) href: String,
}

/// A tab.
#[derive(Debug)]
pub(crate) struct Tab {
    run: String,
    name: &'static str,
    control: String,
    inbox: mpsc::Receiver<Said>,
    /// How long a page may say nothing.
    pub(crate) deadline: Duration,
    /// What the tab shows as its title.
    pub(crate) now: String,
    visit: u64,
    order: u64,
    waiting: Option<oneshot::Sender<Value>>,
}

impl Tab {
    pub(crate) fn new(
        run: &str,
        name: &'static str,
        control: String,
        inbox: mpsc::Receiver<Said>,
        deadline: Duration,
    ) -> Self {
        let run = run.to_owned();
        Self { run, name, control, inbox, deadline, now: String::new(), visit: 0, order: 0, waiting: None }
    }

    /// The load of the tab that is being waited for, or is there.
    pub(crate) fn visit(&self) -> Visit {
        Visit::new(&self.run, self.visit, self.name)
    }

    /// Where the tab waits when it has nowhere else to be.
    pub(crate) fn lobby(&self) -> String {
        format!("{}/lab/tab?{}", self.control, self.visit().query())
    }

    /// Forgets the tab there was: from now on only a page opened at [`Tab::lobby`] counts.
    pub(crate) fn forget(&mut self) {
        self.visit += 1;
        self.waiting = None;
    }

    /// Waits for a page of this tab, whichever.
    pub(crate) async fn arrive(&mut self, within: Duration) -> Result<Whereabouts, Silent> {
        self.hear("a page", within, |words| Some(Whereabouts { page: words.page.clone(), href: words.href.clone() }))
            .await
    }

    /// Opens an address in the tab and waits for the page there, or for where the tab came to instead.
    pub(crate) async fn go(&mut self, address: &str) -> Result<Whereabouts, Silent> {
        debug_assert!(!address.contains("visit="), "the address of the next load is made here");
        self.leave(|visit| {
            let mark = if address.contains('?') { '&' } else { '?' };
            json!({ "do": "go", "url": format!("{address}{mark}{}", visit.query()) })
        })
        .await
    }

    /// Leads the tab to where it waits.
    pub(crate) async fn go_to_lobby(&mut self) -> Result<Whereabouts, Silent> {
        self.go(&format!("{}/lab/tab", self.control)).await
    }

    /// Gives an order after which the page is gone, and waits for the next one. The order is made for the load of the
    /// tab that follows.
    pub(crate) async fn leave(&mut self, order: impl FnOnce(&Visit) -> Value) -> Result<Whereabouts, Silent> {
        self.ready().await?;
        self.visit += 1;
        let mut order = order(&self.visit());
        order["visit"] = json!(self.visit);
        self.give(order).await?;
        self.arrive(self.deadline).await
    }

    /// Loads the page again.
    pub(crate) async fn reload(&mut self) -> Result<Whereabouts, Silent> {
        self.ready().await?;
        self.give(json!({ "do": "reload", "visit": self.visit })).await?;
        self.arrive(self.deadline).await
    }

    /// Gives an order and waits for what came of it. `Err` inside: the page tried, and this is what it was told.
    pub(crate) async fn ask(&mut self, order: Value) -> Result<Result<Value, String>, Silent> {
        self.ready().await?;
        let what = order["do"].as_str().unwrap_or_default().to_owned();
        self.give(order).await?;
        let id = self.order;
        self.hear(&what, self.deadline, |words| {
            let reply = words.answer.as_ref().filter(|reply| reply.id == id)?;
            Some(match &reply.error {
                Some(error) => Err(error.clone()),
                None => Ok(reply.value.clone().unwrap_or(Value::Null)),
            })
        })
        .await
    }

    /// Gives an order whose outcome nobody waits for.
    pub(crate) async fn tell(&mut self, order: Value) -> Result<(), Silent> {
        self.ready().await?;
        self.give(order).await
    }

    async fn ready(&mut self) -> Result<(), Silent> {
        if self.waiting.as_ref().is_some_and(|next| !next.is_closed()) {
            return Ok(());
        }
        self.hear("its next question", self.deadline, |_| Some(())).await
    }

    async fn give(&mut self, mut order: Value) -> Result<(), Silent> {
        self.order += 1;
        order["id"] = json!(self.order);
        order["now"] = json!(self.now);
        let until = Instant::now() + self.deadline;
        loop {
            match self.waiting.take().map(|next| next.send(order.clone())) {
                Some(Ok(())) => return Ok(()),
                // The page's question had ended before the order was there; it asks again.
                Some(Err(_)) | None => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.hear("its next question", left, |_| Some(())).await?;
                }
            }
        }
    }

    /// Listens until `heard` makes something of what is said.
    async fn hear<T>(
        &mut self,
        what: &str,
        within: Duration,
        heard: impl Fn(&Words) -> Option<T>,
    ) -> Result<T, Silent> {
        let until = Instant::now() + within;
        loop {
            let said = match tokio::time::timeout_at(until, self.inbox.recv()).await {
                Ok(Some(said)) => said,
                Ok(None) | Err(_) => return Err(Silent { what: what.to_owned(), after: within }),
            };
            // A tab that was opened again at its first address is as good as one that never left.
            let anew = said.words.page == "lobby" && said.words.visit == 0;
            if said.words.visit != self.visit && !anew {
                let order = match said.words.answer {
                    // It should have gone elsewhere and could not.
                    Some(_) => json!({ "do": "go", "url": self.lobby(), "visit": self.visit }),
                    // It was left behind, or brought back by a browser that restores its tabs.
                    None => json!({ "do": "stop" }),
                };
                let _ = said.next.send(order);
                continue;
            }
            self.waiting = Some(said.next);
            if let Some(heard) = heard(&said.words) {
                return Ok(heard);
            }
        }
    }
}

/// An address with parameters.
pub(crate) fn with_query(address: &str, pairs: &[(&str, &str)]) -> String {
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    format!("{address}?{}", query.join("&"))
}
