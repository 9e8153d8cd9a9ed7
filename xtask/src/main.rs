//! Everything that is done to this repository: `cargo xtask --help`.
//!
//! One file per command. A new command is its file, a `mod` line and a variant of [`Command`].

mod setup;

mod aws_smoke;
mod bench;
mod chaos;
mod conformance;
mod demo;
mod ebpf;
mod existing;
mod test;

mod dist;
mod vm;

mod ci;
mod deny;
mod tidy;

mod binaries;
mod debian;
mod document;
mod metadata;
mod process;
mod say;

use std::process::ExitCode;

use clap::Parser;

/// Builds, tests and polices httpfault.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Install what building and testing need, or say what to install
    Setup,
    /// Build the kernel programs alone and show what is in the object
    Ebpf(ebpf::Args),
    /// Run all tests, or one suite
    Test(test::Args),
    /// Show a fault on this machine: containers, load, injection, removal
    Demo(demo::Args),
    /// Measure the programs as they are handed out
    Bench(bench::Args),
    /// Try httpfault-ctl on the stack of deploy/smoke, or on the simulator
    AwsSmoke(aws_smoke::Args),
    /// Show what clients see of each corner of HTTP
    Conformance(conformance::Args),
    /// Measure what becomes of existing connections, with real servers and clients
    Existing(existing::Args),
    /// Harm the agent while its faults are on, and look what is left
    Chaos(chaos::Args),
    /// Build what is handed out: static programs, manuals and licences, reproducibly
    Dist(dist::Args),
    /// Try the agent on other kernels, in emulated machines
    Vm(vm::Args),
    /// Check licences, sources and advisories of the dependencies
    Deny(deny::Args),
    /// Check the repository's own rules
    Tidy,
    /// Everything that has to pass before a change goes in
    Ci,
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Setup => setup::run(),
        Command::Ebpf(args) => ebpf::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::AwsSmoke(args) => aws_smoke::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Existing(args) => existing::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Vm(args) => vm::run(&args),
        Command::Deny(args) => deny::run(&args),
        Command::Tidy => tidy::run(),
        Command::Ci => ci::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Names of all commands, for the rule that documents only mention commands that exist.
fn command_names() -> Vec<String> {
    let command = <Args as clap::CommandFactory>::command();
    command.get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Args as clap::CommandFactory>::command().debug_assert();
        assert!(command_names().contains(&"tidy".to_owned()));
    }
}
