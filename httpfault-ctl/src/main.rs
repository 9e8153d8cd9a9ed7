//! httpfault-ctl: finds ECS tasks, puts an HTTP status fault on them over AWS Systems Manager, takes it off again and
//! proves both.
#![forbid(unsafe_code)]

mod abort;
mod agents;
mod args;
mod aws;
mod commands;
mod console;
mod error;
mod exit;
mod fleet;
mod litmus;
mod metrics;
mod plan;
mod removal;
mod report;
mod steady_state;
mod stop;
mod trace;
mod tunables;
mod verify;
mod web;

use std::process::ExitCode;

use httpfault_common::contract::Exit;

fn main() -> ExitCode {
    let matches = match args::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version come this way too. Nobody may be reading them.
            let _closed_pipe = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console::Console::new().say(&format!("error: starting the runtime: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(commands::dispatch(&matches));
    // A question that nobody answered must not keep the program.
    runtime.shutdown_background();
    exit.into()
}
