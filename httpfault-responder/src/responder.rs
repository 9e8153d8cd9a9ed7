//! Start, leave, finish: the life of a responder.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, UnixStream},
    sync::Semaphore,
    time::{Instant, interval, timeout},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::{
    accept::{Acceptor, Late, spawn},
    activity::{Doing, Phase},
    adopted::{self, Adopted},
    config::Config,
    connection,
    context::Context,
    listening::Listening,
    stats::Stats,
    stream::keep_alive,
};

/// A running responder. Dropping it cuts every connection; [`Responder::finish`] is the graceful end.
pub struct Responder {
    context: Arc<Context>,
    connections: TaskTracker,
    acceptors: Vec<AbortOnDropHandle<Late>>,
}

/// A handle by which a responder is given connections that were not accepted. It keeps no responder alive.
#[derive(Clone)]
pub struct Adopter {
    context: Arc<Context>,
    connections: TaskTracker,
}

/// What became of the connections that were open when the fault was over. Units: connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishReport {
    /// Ended by themselves or after their last response.
    pub ended: u64,
    /// Were idle when the grace was over and were closed in order.
    pub closed_idle: u64,
    /// Passed bytes between client and application (TLS, not HTTP, upgraded) to the end, and were cut.
    pub cut_passing: u64,
    /// Were in the middle of a response (a long download) to the end, and were cut.
    pub cut_serving: u64,
}

/// Serves `listeners` until [`Responder::finish`]. Must be called inside a Tokio runtime; an error is the runtime's,
/// which could not take a listener.
pub fn start(listeners: Vec<TcpListener>, config: Config) -> io::Result<Responder> {
    let context = Arc::new(Context::new(config));
    let free = Arc::new(Semaphore::new(context.limits.max_connections));
    let connections = TaskTracker::new();
    let acceptors = listeners
        .into_iter()
        .map(|listener| {
            keep_alive(&listener);
            let acceptor = Acceptor {
                listener: Listening::new(listener)?,
                context: Arc::clone(&context),
                free: Arc::clone(&free),
                connections: connections.clone(),
            };
            Ok(AbortOnDropHandle::new(tokio::spawn(acceptor.run())))
        })
        .collect::<io::Result<_>>()?;
    Ok(Responder { context, connections, acceptors })
}

impl Responder {
    /// The counters, readable while the responder runs and after it.
    pub fn stats(&self) -> &'static Stats {
        self.context.stats
    }

    /// The driver's probes are done: its token means nothing any more.
    pub fn end_probing(&self) {
        self.context.decider.end_probing();
    }

    /// The fault is over: every further request is the application's, and clients are told to let go of their
    /// connections (`Connection: close`, GOAWAY). Listeners go on accepting.
    pub fn leave(&self) {
        self.context.life.reach(Phase::Left);
    }

    /// Takes connections that were not accepted.
    pub fn adopter(&self) -> Adopter {
        Adopter { context: Arc::clone(&self.context), connections: self.connections.clone() }
    }

    /// Leaves, waits at most `grace` for connections to end, closes idle ones in order, empties the accept queue,
    /// closes the listeners, and cuts what is left.
    pub async fn finish(mut self, grace: Duration) -> FinishReport {
        let life = &self.context.life;
        life.reach(Phase::Left);
        let open_at_leave = self.connections.len();
        // The tracker stays open for new connections: closing it only lets wait() return when it is empty.
        self.connections.close();
        let all_ended = timeout(grace, self.connections.wait()).await.is_ok();
        let idle_at_end = if all_ended { 0 } else { self.count(Doing::Waiting) };

        life.reach(Phase::Closing);
        let mut late = Late::Nobody;
        for acceptor in self.acceptors.drain(..) {
            match acceptor.await {
                Ok(Late::Nobody) => {}
                Ok(Late::Somebody) => late = Late::Somebody,
                Err(error) => log::warn!("an accept loop of the responder ended badly: {error}"),
            }
        }
        self.wait_for_responses(late).await;
        let report = FinishReport {
            cut_passing: self.count(Doing::Passing),
            cut_serving: self.count(Doing::Serving),
            closed_idle: idle_at_end,
            ended: 0,
        };
        life.reach(Phase::Cut);
        self.connections.wait().await;
        let not_ended = report.cut_passing + report.cut_serving + report.closed_idle;
        FinishReport { ended: (open_at_leave as u64).saturating_sub(not_ended), ..report }
    }

    /// Waits until only connections are left that pass bytes, but no longer than the limit for last responses. Who came
    /// late gets a little time even for passing bytes.
    async fn wait_for_responses(&self, late: Late) {
        let limits = &self.context.limits;
        let begin = Instant::now();
        let passing_until = begin + if late == Late::Somebody { limits.linger_time } else { Duration::ZERO };
        let deadline = begin + limits.last_time;
        let mut look = interval(Duration::from_millis(10));
        while !self.connections.is_empty() {
            let only_passing = self.connections.len() as u64 <= self.count(Doing::Passing);
            let now = look.tick().await;
            if now >= deadline || only_passing && now >= passing_until {
                return;
            }
        }
    }

    fn count(&self, doing: Doing) -> u64 {
        self.context.life.count(doing)
    }
}

impl Adopter {
    /// Serves a connection that was not accepted: `stream` carries the bytes of one that the application had, from the
    /// beginning of an HTTP/1 request, and `origin` is the address that its client connected to.
    ///
    /// It is served, counted and ended like the others, with two differences: its client is not told when the fault is
    /// over, and it can be asked back between two requests, also after that. Release adopted connections before
    /// [`Responder::finish`], which waits for them too.
    pub fn adopt(&self, stream: UnixStream, origin: SocketAddr) -> Adopted {
        let (adopted, asked) = adopted::pair();
        let serve = |seat| connection::serve_adopted(stream, Arc::clone(&self.context), origin, seat, asked);
        spawn(serve, None, &self.context, &self.connections);
        adopted
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.context.life.reach(Phase::Cut);
    }
}
