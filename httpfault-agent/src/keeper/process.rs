//! The keeper's own process.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    process::ExitCode,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use httpfault_common::contract::{ExistingConnections, ExperimentId};
use rustix::process::{PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal, setsid};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    End,
    message::{Order, Progress, Report},
};
use crate::{
    channel::Channel,
    datapath::existing::{Gates, Notes},
    existing::{self, Released, Request, Shared, Stage, Tally, Told, self_test},
    signs::Signs,
    state,
    sys::{self, SharedWord},
};

/// How often the lease of the gates is renewed, a second each time.
const BEAT: Duration = Duration::from_millis(250);
/// Its place before others that want a processor. It needs one for microseconds.
const NICE: i32 = -10;
/// How long the agent's process may take to be gone after its end of the channel is.
const AGENT_GONE: Duration = Duration::from_secs(10);
/// How long the responder may take to be gone after the agent is.
const RESPONDER_GONE: Duration = Duration::from_millis(2500);

/// The life of the keeper.
pub(crate) fn run(end: End) -> ExitCode {
    match try_run(end) {
        Ok(()) => ExitCode::SUCCESS,
        // Standard error is closed: there is nobody to tell.
        Err(_untold) => ExitCode::FAILURE,
    }
}

fn try_run(End { descriptor, agent, signs, responder }: End) -> anyhow::Result<()> {
    setsid().context("leaving the agent's session")?;
    take_precedence();
    // An inherited pipe would keep the SSM command open for as long as the keeper lives.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    rustix::thread::set_name(c"httpfault-keeper")?;
    let pidfd = pidfd_open(agent, PidfdFlags::NONBLOCK).context("opening the agent")?;
    // Opened before asking: if the agent had died in between, its number could be another process's by now.
    ensure!(getppid() == Some(agent), "the agent is gone already");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let channel = Rc::new(Channel::new(descriptor)?);
        let mut desk = Desk::new(Rc::clone(&channel), signs);
        let ended = desk.serve(&channel).await;
        desk.close().await;
        let pidfd = sys::async_fd(pidfd, Interest::READABLE)?;
        let _gone = timeout(AGENT_GONE, pidfd.readable()).await.context("waiting for the agent's end")??;
        let swept = desk.experiment.map_or(Ok(()), |experiment| sweep(&experiment));
        end(responder).await?;
        swept.and(ended)
    })
}

/// What this process looks after asks for processors all the time on a busy host, and would have to wait for it.
fn take_precedence() {
    // Without CAP_SYS_NICE it has none.
    let _refused = rustix::process::setpriority_process(None, NICE);
    // Where every session has its share of the processors (CONFIG_SCHED_AUTOGROUP), the session's place counts.
    let _no_shares = std::fs::write("/proc/self/autogroup", NICE.to_string());
}

/// The responder ends when the agent does, in order; one that was stopped can't.
async fn end(responder: OwnedFd) -> anyhow::Result<()> {
    let responder = sys::async_fd(responder, Interest::READABLE)?;
    match timeout(RESPONDER_GONE, responder.readable()).await {
        Ok(gone) => gone.map(drop).context("waiting for the responder's end"),
        Err(_elapsed) => pidfd_send_signal(&responder, Signal::KILL).context("ending the responder"),
    }
}

/// Removes what a killed agent left on disk.
fn sweep(experiment: &ExperimentId) -> anyhow::Result<()> {
    match state::entry(experiment)? {
        Some(entry) if !entry.alive => entry.sweep(),
        // Cleanly removed, or a new run of the same experiment has claimed it.
        _ => Ok(()),
    }
}

/// A report, and the descriptors that go with it.
type Outgoing = (Report, Vec<OwnedFd>);

/// Who waits for the responder's answer, by connection.
type Releases = Rc<RefCell<HashMap<u64, oneshot::Sender<Released>>>>;

/// Where orders arrive and reports leave.
struct Desk {
    reports: mpsc::UnboundedSender<Outgoing>,
    releases: Releases,
    signs: Signs,
    targets: HashMap<u32, mpsc::UnboundedSender<existing::Order>>,
    tasks: JoinSet<()>,
    /// Made when the first target comes.
    shared: Option<Rc<Shared>>,
    experiment: Option<ExperimentId>,
}

impl Desk {
    fn new(channel: Rc<Channel>, signs: Signs) -> Self {
        let (reports, mut outbox) = mpsc::unbounded_channel::<Outgoing>();
        tokio::task::spawn_local(async move {
            while let Some((report, descriptors)) = outbox.recv().await {
                // An agent that is gone needs no report.
                if channel.send(&report, &descriptors).await.is_err() {
                    return;
                }
            }
        });
        Self {
            reports,
            releases: Releases::default(),
            signs,
            targets: HashMap::new(),
            tasks: JoinSet::new(),
            shared: None,
            experiment: None,
        }
    }

    /// Carries orders out until the agent is gone.
    async fn serve(&mut self, channel: &Channel) -> anyhow::Result<()> {
        while let Some((order, _)) = channel.receive().await? {
            match order {
                Order::Sweep(experiment) => self.experiment = Some(experiment),
                Order::Find { target, job } => self.find(target, job),
                Order::Start { target } => self.tell(target, existing::Order::Start),
                Order::Settle { target } => self.tell(target, existing::Order::Settle),
                Order::Closed { connection } => {
                    if let Some(shared) = &self.shared {
                        shared.tell(connection, Told::Closed(connection));
                    }
                }
                Order::Released { connection, released } => {
                    if let Some(asker) = self.releases.borrow_mut().remove(&connection) {
                        // One that waited too long asks again.
                        let _late = asker.send(released);
                    }
                }
            }
        }
        Ok(())
    }

    fn find(&mut self, target: u32, job: existing::Job) {
        let reports = self.reports.clone();
        let report = move |stage: Stage, tally: &Tally, error: Option<String>| {
            let progress = Progress { stage, tally: tally.clone(), error };
            // An agent that is gone needs no report.
            let _gone = reports.send((Report::Progress { target, progress }, Vec::new()));
        };
        let shared = match self.shared(job.mode) {
            Ok(shared) => shared,
            Err(why) => return report(Stage::Asked, &Tally::default(), Some(format!("{why:#}"))),
        };
        let Some(over) = self.signs.over(target) else {
            return report(
                Stage::Asked,
                &Tally::default(),
                Some("there are more targets than were named".into()),
            );
        };
        let (orders, inbox) = mpsc::unbounded_channel();
        self.targets.insert(target, orders);
        self.tasks.spawn_local(async move {
            let mut last = (Stage::Asked, Tally::default());
            let mut changed = |stage: Stage, tally: &Tally| {
                if (last.0, &last.1) != (stage, tally) {
                    report(stage, tally, None);
                    last = (stage, tally.clone());
                }
            };
            if let Err(why) = existing::look_after(target, job, over, shared, inbox, &mut changed).await {
                report(last.0, &last.1, Some(format!("{why:#}")));
            }
        });
    }

    fn tell(&self, target: u32, order: existing::Order) {
        if let Some(orders) = self.targets.get(&target) {
            // A target that has settled already takes no more orders.
            let _settled = orders.send(order);
        }
    }

    /// Lets go of everything; the agent is gone.
    async fn close(&mut self) {
        self.signs.agent_until.set(0);
        if let Some(shared) = &self.shared {
            // At once: nothing more is eaten that nobody would answer. The lease ends it where this fails.
            let _by_lease = beat(shared, self.signs.agent_until);
        }
        self.releases.borrow_mut().clear();
        for target in self.targets.keys() {
            self.tell(*target, existing::Order::Settle);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// Every target of a run has the same mode.
    fn shared(&mut self, mode: ExistingConnections) -> anyhow::Result<Rc<Shared>> {
        if let Some(shared) = &self.shared {
            return Ok(Rc::clone(shared));
        }
        let (gates, notes, take) = gates(mode)?;
        let ready = sys::async_fd(notes.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let (requests, asked) = mpsc::unbounded_channel();
        let shared = Rc::new(Shared {
            gates: RefCell::new(gates),
            listeners: RefCell::default(),
            notes: RefCell::new(notes),
            requests,
            agent_until: Cell::new(0),
            take,
        });
        beat(&shared, self.signs.agent_until)?;
        let beating = keep_beating(Rc::clone(&shared), self.signs.agent_until, self.reports.clone());
        tokio::task::spawn_local(beating);
        tokio::task::spawn_local(dispatch(ready, Rc::clone(&shared)));
        tokio::task::spawn_local(ask(asked, Rc::clone(&self.releases), self.reports.clone()));
        self.shared = Some(Rc::clone(&shared));
        Ok(shared)
    }
}

/// The gates, and whether connections can be taken; what only taking needs is done only for it.
fn gates(mode: ExistingConnections) -> anyhow::Result<(Gates, Notes, Result<(), String>)> {
    let because = |why: &anyhow::Error| {
        format!("connections can't be answered in place on this host, and are drained: {why:#}")
    };
    if mode != ExistingConnections::Take {
        let (gates, notes) = Gates::load(false)?;
        return Ok((gates, notes, Err("it was not asked for".into())));
    }
    match Gates::load(true) {
        Ok((mut gates, mut notes)) => {
            // For the test that takes a connection: no agent is asked.
            gates.renew(u64::MAX)?;
            let take = self_test::prepare(&mut gates, &mut notes).map_err(|why| because(&why));
            Ok((gates, notes, take))
        }
        Err(why) => {
            let (gates, notes) = Gates::load(false)?;
            Ok((gates, notes, Err(because(&why))))
        }
    }
}

/// Hands the kernel's notes to the targets whose connections they are about.
async fn dispatch(ready: AsyncFd<OwnedFd>, shared: Rc<Shared>) {
    while let Ok(mut guard) = ready.readable().await {
        guard.clear_ready();
        shared.pump();
    }
}

/// Hands the requests of targets to the agent.
async fn ask(
    mut asked: mpsc::UnboundedReceiver<Request>,
    releases: Releases,
    reports: mpsc::UnboundedSender<Outgoing>,
) {
    while let Some(request) = asked.recv().await {
        let outgoing = match request {
            Request::Carry { target, connection, origin, stream } => {
                (Report::Carry { target, connection, origin }, vec![stream])
            }
            Request::Release { target, connection, answer } => {
                releases.borrow_mut().insert(connection, answer);
                (Report::Release { target, connection }, Vec::new())
            }
        };
        // An agent that is gone is noticed by whoever waits for it.
        let _gone = reports.send(outgoing);
    }
}

async fn keep_beating(shared: Rc<Shared>, agent_until: SharedWord, reports: mpsc::UnboundedSender<Outgoing>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if let Err(why) = beat(&shared, agent_until) {
            // An agent that is gone needs no report.
            let _gone = reports.send((Report::Warning(format!("{why:#}")), Vec::new()));
        }
    }
}

fn beat(shared: &Shared, agent_until: SharedWord) -> anyhow::Result<()> {
    let agent_until_ns = agent_until.get();
    shared.agent_until.set(agent_until_ns);
    shared.gates.borrow_mut().renew(agent_until_ns)
}
