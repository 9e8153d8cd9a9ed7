//! httpfault-agent: puts a fault on the HTTP service of chosen containers of this host, and takes it off again.
//!
//! `run` is the story to read: [`run::run`].

mod args;
mod run;
mod preflight;
mod target;
mod process;
mod sockets;
mod cgroup;
mod netns;
mod scope;
mod fault;
mod history;
mod last_word;
mod lease;
mod datapath;
mod probe;
mod existing;
mod causes;
mod state;
mod control;
mod channel;
mod signs;
mod responder;
mod keeper;
mod status;
mod remove;
mod report;
mod view;
mod signal;
mod clock;
mod sys;

use std::{os::fd::OwnedFd, process::ExitCode};

use anyhow::Context as _;
use args::{Cli, Command, RunArgs};
use clap::Parser as _;
use httpfault_common::contract::{Exit, Mistakes, RunSpec, SpecError};
use keeper::Keeper;
use report::Reporter;
use responder::Responder;
use run::Parts;
use signs::Signs;

/// musl's allocator maps and unmaps memory for nearly every connection.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not mistakes; nothing can be done about a closed stderr.
            let _closed = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    start_log(&cli.command);
    // Before any thread exists.
    let forked = match &cli.command {
        Command::Run(args) => fork(args),
        Command::Check(_) | Command::Status(_) | Command::Remove(_) => Ok(Forked::Alone),
    };
    let parts = match forked {
        Ok(Forked::Responder(child, spec)) => return responder::run(child, &spec),
        Ok(Forked::Keeper(end)) => return keeper::run(end),
        Ok(Forked::Agent(ends)) => Some(ends),
        Ok(Forked::Alone) => None,
        Err(error) => return failed(&error),
    };
    match dispatch(cli.command, parts) {
        Ok(exit) => exit.into(),
        Err(error) => failed(&error),
    }
}

/// What this process is.
enum Forked {
    /// The one that was started, of a run.
    Agent(Ends),
    Keeper(keeper::End),
    Responder(responder::Child, RunSpec),
    /// No run: there are no others.
    Alone,
}

/// The run, and the ways to its other processes.
struct Ends {
    spec: RunSpec,
    signs: Signs,
    responder: responder::Parent,
    keeper: OwnedFd,
}

fn fork(args: &RunArgs) -> anyhow::Result<Forked> {
    let spec = args.spec()?;
    let signs = Signs::new(spec.targets.len()).context("making memory that processes share")?;
    let responder = match responder::fork(signs)? {
        responder::Fork::Responder(child) => return Ok(Forked::Responder(child, spec)),
        responder::Fork::Agent(parent) => parent,
    };
    Ok(match keeper::fork(signs, responder.process()?)? {
        keeper::Fork::Keeper(end) => Forked::Keeper(end),
        keeper::Fork::Agent(keeper) => Forked::Agent(Ends { spec, signs, responder, keeper }),
    })
}

fn dispatch(command: Command, ends: Option<Ends>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name(env!("CARGO_BIN_NAME"))
        .enable_all()
        .build()?;
    let exit = runtime.block_on(async {
        match command {
            Command::Run(args) => {
                let Ends { spec, signs, responder, keeper } =
                    ends.context("the run has no other processes")?;
                let keeper = Keeper::connect(keeper, signs)?;
                let responder = Responder::connect(responder, signs, keeper.clone())?;
                let parts = Parts { responder, keeper, signs };
                run::run(spec, &args, &Reporter::new(args.output.output), parts).await
            }
            Command::Check(args) => check(&args).await,
            Command::Status(args) => {
                let report = status::report(args.experiment_id.as_ref()).await?;
                Reporter::status(args.output, &report);
                Ok(Exit::Done)
            }
            Command::Remove(args) => {
                let report = remove::remove(args.experiment_id.as_ref()).await?;
                Reporter::new(args.output).remove(&report);
                Ok(report.exit)
            }
        }
    });
    // A task that waits for something that never comes must not keep the process.
    runtime.shutdown_background();
    exit
}

async fn check(args: &RunArgs) -> anyhow::Result<Exit> {
    let spec = args.spec()?;
    let report = preflight::look(&spec, &args.sources).await.report(&spec);
    Reporter::new(args.output.output).check(&report);
    Ok(if report.ready { Exit::Done } else { Exit::Failed })
}

fn failed(error: &anyhow::Error) -> ExitCode {
    log::error!("{error:#}");
    exit_of(error).into()
}

/// The one mapping from error to exit code: wrong input, or failed with nothing left behind.
fn exit_of(error: &anyhow::Error) -> Exit {
    let usage = error.chain().any(|cause| cause.is::<Mistakes>() || cause.is::<SpecError>());
    if usage { Exit::Usage } else { Exit::Failed }
}

fn start_log(command: &Command) {
    let (verbose, steering) = match command {
        Command::Run(args) | Command::Check(args) => (args.output.verbose, args.output.log_steering),
        Command::Status(_) | Command::Remove(_) => (false, false),
    };
    let level = if verbose || steering { log::LevelFilter::Info } else { log::LevelFilter::Warn };
    env_logger::Builder::new()
        .filter_level(level)
        .format_target(false)
        .format_timestamp(None)
        .write_style(env_logger::WriteStyle::Never)
        .init();
}
