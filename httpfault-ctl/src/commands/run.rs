//! `run`: the control path of httpfault, from the top of the page to the bottom.

mod again;
mod desk;
mod hand_over;
mod hold;
mod inject;
mod live;
mod prove;
mod recover;

use anyhow::bail;
use tokio::time::sleep;

use self::{desk::Desk, hand_over::hand_over, live::Live};
use super::fleet::make_plan;
use crate::{
    abort::Abort,
    aws::Cloud,
    console::Console,
    error::{CtlError, Refusals},
    metrics::Meter,
    plan::Plan,
    report::{PlanReport, RunReport},
    steady_state::SteadyState,
    stop::{self, Stop, Stopped},
    tunables::RunSettings,
};

/// Puts the fault on, holds it, takes it off, proves both and reports.
pub(super) async fn run(
    settings: &RunSettings,
    console: &mut Console,
    abort: &Abort,
) -> anyhow::Result<RunReport> {
    let mut live = None;
    let stop = Stop::new();
    let ended = tokio::select! {
        biased;
        () = abort.signals(1) => Ended::Aborted,
        stopped = stop.requested() => Ended::Stopped(stopped),
        never = stop.watch_file(settings.stop_file.as_ref()) => match never {},
        result = story(settings, &stop, console, &mut live) => Ended::of(result),
    };
    // From here on `live` holds what may be on, wherever the story broke off.
    let Some(mut live) = live else { return ended.before_anything() };
    console.end();
    ended.note(&mut live.desk.report, console);
    if !live.is_over() {
        live.steady.turning_off();
        let recover = live.desk.report.recover_with.clone();
        tokio::select! {
            () = recover::recover(&mut live, &settings.access, console) => {}
            () = recover::leave_at_third(abort, console) => {
                let left = CtlError::Abandoned { recover: live.may_be_on().then_some(recover) };
                recover::note_unproved(&mut live, &left);
                live.desk.report.probes = live.steady.judged();
                hand_over::keep(live.desk.report, live.desk.meter, settings, console);
                return Err(left.into());
            }
        }
    }
    live.desk.report.probes = live.steady.judged();
    let Desk { report, meter, cloud, .. } = live.desk;
    Ok(hand_over(report, meter, settings, &cloud, console).await)
}

/// Every step once, in order. An abort drops this future at any of its awaits.
async fn story(
    settings: &RunSettings,
    stop: &Stop,
    console: &mut Console,
    slot: &mut Option<Live>,
) -> anyhow::Result<()> {
    may_begin(settings)?;
    let cloud = Cloud::connect(&settings.access).await?;
    let plan = make_plan(&cloud, settings).await?;
    confirm(&plan, settings, console).await?;
    let steady = SteadyState::start(&settings.probes, stop)?;
    let again = repeat_with(settings, &plan);
    let meter = Meter::new(&settings.metrics);
    let live = slot.insert(Live::new(Desk::new(cloud.clone(), plan, again, meter), steady));
    tokio::select! {
        never = stop.watch_alarms(&cloud, &settings.stop_alarms) => match never {},
        result = experiment(live, settings, stop, console) => result,
    }
}

/// The same from where something is done.
async fn experiment(
    live: &mut Live,
    settings: &RunSettings,
    stop: &Stop,
    console: &mut Console,
) -> anyhow::Result<()> {
    live.steady.holds_before(console).await?;
    inject::deliver(live, settings, console).await?;
    ramp(settings, console, "before").await;
    live.steady.still_holds()?;
    let Live { desk, windows, steady, .. } = live;
    for window in windows {
        again::look_again(desk, window, settings, console).await?;
        steady.turning_on();
        inject::inject(desk, window, console).await?;
        if prove::on(desk, window, console).await? {
            steady.on(window.lasts_until(desk.plan.duration_secs));
        }
        desk.meter.show(&desk.report, console);
        hold::hold(desk, window, console).await?;
        steady.turning_off();
        prove::off(desk, window, console).await?;
        desk.nothing_left()?;
    }
    prove::replacements(desk).await;
    live.all_proved_off();
    stop.is_over();
    live.steady.off();
    ramp(settings, console, "after").await;
    live.steady.holds_after().await;
    Ok(())
}

/// A stop condition that holds already is a reason against the run.
fn may_begin(settings: &RunSettings) -> anyhow::Result<()> {
    match stop::file_against(settings.stop_file.as_ref()) {
        Some(problem) => bail!(CtlError::Refused(Refusals(vec![problem]))),
        None => Ok(()),
    }
}

/// Shows the plan. A fault that can take a whole service away needs a confirmation, of a setting or of a person.
async fn confirm(plan: &Plan, settings: &RunSettings, console: &Console) -> anyhow::Result<()> {
    console.say(PlanReport::summary(plan).trim_end());
    for warning in &plan.warnings {
        console.warn(warning);
    }
    let Some(danger) = &plan.danger else { return Ok(()) };
    if settings.yes {
        console.warn(danger);
        return Ok(());
    }
    if !console.can_ask() {
        bail!(CtlError::Unconfirmed(danger.clone()));
    }
    console.warn(danger);
    if !console.ask("this needs a confirmation (or --yes)").await {
        bail!(CtlError::Declined);
    }
    Ok(())
}

async fn ramp(settings: &RunSettings, console: &Console, when: &str) {
    if !settings.ramp.is_zero() {
        console.say(&format!("waiting {} s {when} the fault (RAMP_TIME)", settings.ramp.as_secs()));
        sleep(settings.ramp).await;
    }
}

/// The same experiment again, with the seed that was drawn: a line to paste.
fn repeat_with(settings: &RunSettings, plan: &Plan) -> String {
    let seed = plan.seed.to_string();
    let words = ["httpfault-ctl", "run"].into_iter().chain(settings.repeat.iter().map(String::as_str));
    shlex::try_join(words.chain(["--seed", seed.as_str()]))
        .unwrap_or_else(|error| format!("(can't be typed: {error})"))
}

/// How the story came to its end.
enum Ended {
    Through,
    Aborted,
    Stopped(Stopped),
    Failed(anyhow::Error),
}

impl Ended {
    fn of(result: anyhow::Result<()>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Through)
    }

    fn before_anything(self) -> anyhow::Result<RunReport> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Stopped(stopped) => Err(CtlError::Stopped(stopped).into()),
            Self::Aborted | Self::Through => Err(CtlError::Aborted.into()),
        }
    }

    fn note(&self, report: &mut RunReport, console: &Console) {
        match self {
            Self::Through => {}
            Self::Aborted => report.aborted = true,
            Self::Stopped(stopped) => {
                console.say(&format!("the run is stopped: {stopped}"));
                report.stopped = Some(stopped.clone());
            }
            Self::Failed(error) => report.error = Some(format!("{error:#}")),
        }
    }
}
