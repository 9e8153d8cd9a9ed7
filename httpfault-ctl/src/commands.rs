//! One module per command. Nouns (`plan`, `status`, `policy`) read, verbs (`run`, `remove`) change.

mod document;
mod fleet;
mod litmus;
mod plan;
mod policy;
mod remove;
mod run;
mod status;

use clap::ArgMatches;
use httpfault_common::contract::Exit;

use crate::{
    abort::Abort,
    args,
    aws::DocumentKind,
    console::Console,
    error::CtlError,
    exit,
    report::{self, ErrorReport},
    tunables::{
        self, LitmusRun, Output, ProcessEnvironment, read_access, read_policy, read_registry, read_run,
    },
};

/// Runs the command that was asked for.
pub(crate) async fn dispatch(matches: &ArgMatches) -> Exit {
    let mut console = Console::new();
    let Some((name, matches)) = matches.subcommand() else { return Exit::Usage };
    let result = match Abort::listen() {
        Ok(abort) => command(name, matches, &mut console, &abort).await,
        Err(error) => Err(anyhow::Error::new(error).context("listening for SIGINT and SIGTERM")),
    };
    console.end();
    result.unwrap_or_else(|error| say_error(&error, matches, &console))
}

/// Tells why there is no report, in the form that was asked for.
fn say_error(error: &anyhow::Error, matches: &ArgMatches, console: &Console) -> Exit {
    let exit = exit::of_error(error);
    console.say(&format!("error: {error:#}"));
    if wants_json(matches) {
        report::emit(&ErrorReport { exit, error: format!("{error:#}") }, Output::Json);
    }
    exit
}

async fn command(
    name: &str,
    matches: &ArgMatches,
    console: &mut Console,
    abort: &Abort,
) -> anyhow::Result<Exit> {
    let environment = &ProcessEnvironment;
    match name {
        args::RUN => match LitmusRun::read(matches, environment) {
            Some(litmus) => litmus::run_with_result(&litmus, matches, console, abort).await,
            None => {
                let settings = note(tunables::check(matches, environment, read_run)?, console);
                run::run(&settings, console, abort).await.map(|report| report.exit)
            }
        },
        args::PLAN => {
            let settings = note(tunables::check(matches, environment, read_run)?, console);
            or_aborted(abort, plan::plan(&settings)).await
        }
        args::STATUS => {
            let access = note(tunables::check(matches, environment, read_access)?, console);
            or_aborted(abort, status::status(&access)).await
        }
        args::REMOVE => {
            let access = note(tunables::check(matches, environment, read_access)?, console);
            remove::remove(&access, console, abort).await
        }
        args::DOCUMENT => {
            let register = args::wants_register(matches);
            let kind = if args::wants_fis(matches) { DocumentKind::Fis } else { DocumentKind::Own };
            let (access, agents) = note(tunables::check(matches, environment, read_registry)?, console);
            or_aborted(abort, document::document(kind, &access, &agents, register, console)).await
        }
        _ => {
            let scope = note(tunables::check(matches, environment, read_policy)?, console);
            policy::policy(&scope, args::wants_reference(matches), console)
        }
    }
}

fn note<T>(checked: tunables::Checked<T>, console: &Console) -> T {
    for warning in &checked.warnings {
        console.warn(warning);
    }
    checked.settings
}

/// For commands that change nothing: the first signal ends them.
async fn or_aborted(
    abort: &Abort,
    command: impl Future<Output = anyhow::Result<Exit>>,
) -> anyhow::Result<Exit> {
    tokio::select! {
        result = command => result,
        () = abort.signals(1) => Err(CtlError::Aborted.into()),
    }
}

/// Errors are printed as JSON too when that was asked for; the setting itself may be among the mistakes.
fn wants_json(matches: &ArgMatches) -> bool {
    let output = &tunables::table::OUTPUT;
    let flag = matches.try_get_one::<String>(output.flag).ok().flatten().cloned();
    flag.or_else(|| std::env::var(output.variable).ok()).is_some_and(|text| text.eq_ignore_ascii_case("json"))
}
