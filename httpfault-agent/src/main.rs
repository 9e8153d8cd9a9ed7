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
mod last_word;
mod lease;
mod datapath;
mod probe;
mod existing;
mod causes;
mod state;
mod control;
mod keeper;
mod status;
mod remove;
mod report;
mod view;
mod signal;
mod clock;
mod sys;

use std::process::ExitCode;

use anyhow::Context as _;
use args::{Cli, Command, RunArgs};
use clap::Parser as _;
use httpfault_common::contract::{Exit, Mistakes, SpecError};
use keeper::{Fork, Keeper};
use report::Reporter;

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
    let keeper = match matches!(cli.command, Command::Run(_)).then(keeper::fork).transpose() {
        Ok(Some(Fork::Keeper(end))) => return keeper::run(end),
        Ok(Some(Fork::Agent(end))) => Some(end),
        Ok(None) => None,
        Err(why) => {
            log::error!("{why:#}");
            return Exit::Failed.into();
        }
    };
    match dispatch(cli.command, keeper) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = exit_of(&error);
            log::error!("{error:#}");
            exit.into()
        }
    }
}

fn dispatch(command: Command, keeper: Option<keeper::End>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(async {
        match command {
            Command::Run(args) => {
                let spec = args.spec()?;
                let keeper = Keeper::connect(keeper.context("the run has no keeper")?)?;
                run::run(spec, &args, &Reporter::new(args.output.output), keeper).await
            }
            Command::Check(args) => check(&args).await,
            Command::Status(args) => {
                let report = status::report(args.experiment_id.as_ref()).await?;
                Reporter::new(args.output).status(&report);
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
