//! The steady state: what has to hold before, while and after the fault is on, asked by HTTP from here.

mod client;
mod record;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, bail};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::{client::Client, record::Record};
use crate::{
    console::Console,
    report::{Phase, ProbeReport, Sample},
    stop::{Stop, StoppedBy},
    tunables::Probe,
};

/// The probes of a run. They ask until it is dropped.
pub(crate) struct SteadyState {
    shared: Arc<Shared>,
    asking: JoinSet<()>,
}

struct Shared {
    records: Mutex<Vec<Record>>,
    stage: watch::Sender<Stage>,
    /// Changes with every sample.
    samples: watch::Sender<u64>,
    started: Instant,
    stop: Stop,
}

/// What the run is doing.
#[derive(Clone, Copy, Debug)]
struct Stage {
    /// Serial windows come to the same phase again.
    number: u32,
    phase: Phase,
    /// From when on a fault that is on may have ended by its deadline.
    until: Option<Instant>,
}

impl SteadyState {
    /// Begins to ask, in the phase before the fault.
    pub(crate) fn start(probes: &[Probe], stop: &Stop) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            records: Mutex::new(probes.iter().map(Record::new).collect()),
            stage: watch::Sender::new(Stage { number: 0, phase: Phase::Before, until: None }),
            samples: watch::Sender::new(0),
            started: Instant::now(),
            stop: stop.clone(),
        });
        let mut asking = JoinSet::new();
        for (index, probe) in probes.iter().enumerate() {
            let client = Client::new(probe)
                .map_err(|error: io::Error| anyhow::Error::new(error))
                .with_context(|| format!("reading the roots of TLS for probe {}", probe.name))?;
            asking.spawn(ask(Arc::clone(&shared), index, probe.clone(), client));
        }
        Ok(Self { shared, asking })
    }

    /// Waits until every probe holds; where one does not, nothing may be put on.
    pub(crate) async fn holds_before(&self, console: &Console) -> anyhow::Result<()> {
        self.until(|record| record.before().is_some()).await;
        self.still_holds()?;
        for record in self.shared.records().iter() {
            console.say(&format!("probe {} holds before the fault", record.name()));
        }
        Ok(())
    }

    /// The same, of what has been seen up to now.
    pub(crate) fn still_holds(&self) -> anyhow::Result<()> {
        let records = self.shared.records();
        let failed = records.iter().filter(|record| record.before() == Some(false));
        let failed: Vec<String> = failed.map(|r| format!("\n  {}: {}", r.name(), r.last_failure())).collect();
        if !failed.is_empty() {
            bail!(
                "the steady state does not hold before the fault, so nothing was put on; correct the application or the \
                 probe:{}",
                failed.concat()
            );
        }
        Ok(())
    }

    /// Hosts are about to be told.
    pub(crate) fn turning_on(&self) {
        self.enter(Phase::TurningOn, None);
    }

    /// It was proved on, and lasts at least until then.
    pub(crate) fn on(&self, until: Instant) {
        self.enter(Phase::During, Some(until));
    }

    pub(crate) fn turning_off(&self) {
        self.enter(Phase::TurningOff, None);
    }

    /// It was proved off everywhere.
    pub(crate) fn off(&self) {
        self.enter(Phase::After, None);
    }

    /// Waits until every probe holds again, or has failed more often than it may. RAMP_TIME is over: what failed while it
    /// lasted was recovery.
    pub(crate) async fn holds_after(&mut self) {
        self.shared.records().iter_mut().for_each(Record::ramp_is_over);
        self.until(|record| record.after().is_some()).await;
        self.asking.abort_all();
    }

    /// Ends the asking; the verdicts.
    pub(crate) fn judged(&mut self) -> Vec<ProbeReport> {
        self.asking.abort_all();
        self.shared.records().iter().map(Record::judged).collect()
    }

    fn enter(&self, phase: Phase, until: Option<Instant>) {
        self.shared.stage.send_modify(|stage| *stage = Stage { number: stage.number + 1, phase, until });
    }

    async fn until(&self, known: impl Fn(&Record) -> bool) {
        let mut samples = self.shared.samples.subscribe();
        // The sender is this value's own: waiting ends only by what was waited for.
        let _known = samples.wait_for(|_| self.shared.records().iter().all(&known)).await;
    }
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// The phase of a sample that began in this stage and ended in `end`. What was under way while the fault changed is
    /// not judged.
    fn of_sample(self, end: Self) -> Phase {
        let over = self.until.is_some_and(|until| Instant::now() > until);
        match self.phase {
            phase if self.number == end.number && !over => phase,
            Phase::Before | Phase::TurningOn => Phase::TurningOn,
            Phase::During | Phase::TurningOff => Phase::TurningOff,
            Phase::After => Phase::After,
        }
    }
}

/// Asks at every interval, and at once when the run comes to another phase.
async fn ask(shared: Arc<Shared>, index: usize, probe: Probe, client: Client) {
    let mut stages = shared.stage.subscribe();
    loop {
        let stage = *stages.borrow_and_update();
        let began = Instant::now();
        let answer = client.ask(&probe).await;
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let sample = Sample {
            at_ms: millis(began.duration_since(shared.started)),
            phase: stage.of_sample(*shared.stage.borrow()),
            status: answer.status,
            error: answer.error,
            latency_ms: millis(began.elapsed()),
            held: answer.held,
        };
        let in_a_row = match shared.records().get_mut(index) {
            Some(record) => record.take(sample),
            None => return,
        };
        shared.samples.send_modify(|samples| *samples += 1);
        if probe.stop_after.is_some_and(|most| in_a_row >= most) {
            let what = format!("probe {} failed {in_a_row} time(s) in a row (PROBE_STOP_AFTER)", probe.name);
            shared.stop.because(StoppedBy::Probe, what);
        }
        tokio::select! {
            () = sleep_until(began + probe.interval) => {}
            _ = stages.changed() => {}
        }
    }
}
