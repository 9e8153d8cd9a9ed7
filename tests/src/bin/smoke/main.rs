//! One pass over everything that `httpfault-ctl` does to a cluster, and a table of what came of it. Against an account
//! with the stack of deploy/smoke, or against the simulator with a world of the same shape.

mod pass;
mod simulated;
mod template;

use std::{
    io::{Write, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;

use pass::{Pass, Row};

/// Runs plan, run, abort and remove against the stack of deploy/smoke and prints a table.
#[derive(Debug, Parser)]
struct Args {
    /// Region of the stack; credentials come from the environment
    #[arg(long, required_unless_present = "simulate")]
    region: Option<String>,
    /// Role to assume, output RoleArn of the stack
    #[arg(long)]
    role_arn: Option<String>,
    /// Directory with httpfault-agent-x86_64 and httpfault-agent-aarch64
    #[arg(long, value_name = "DIR", required_unless_present = "simulate")]
    agent_dir: Option<PathBuf>,
    /// Against the simulator: real containers of this machine in the place of the stack's
    #[arg(long)]
    simulate: bool,
    /// How long each fault is on, seconds
    #[arg(long, default_value_t = 10)]
    duration: u64,
    /// The stack's template
    #[arg(long, default_value = "deploy/smoke/template.json")]
    template: PathBuf,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let template = template::Template::read(&args.template)?;
    let files = tempfile::tempdir().context("creating a directory for what the controller says")?;
    let rows = if args.simulate {
        simulated::pass(&template, &args, files.path())?
    } else {
        on_aws(&template, &args, files.path())?
    };
    stdout().write_all(pass::table(&rows).as_bytes())?;
    Ok(if rows.iter().all(Row::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// With the credentials of the environment, at the pace of a real account.
fn on_aws(template: &template::Template, args: &Args, files: &std::path::Path) -> Result<Vec<Row>> {
    let ours = |name: &str| name.starts_with("AWS_") || name.to_ascii_uppercase().ends_with("_PROXY");
    let mut environment: Vec<(String, String)> = std::env::vars().filter(|(name, _)| ours(name)).collect();
    let set = |name: &str, value: String| (name.to_owned(), value);
    environment.extend(args.region.clone().map(|region| set("REGION", region)));
    environment.extend(args.role_arn.clone().map(|role| set("ASSUME_ROLE_ARN", role)));
    environment.extend(std::env::var("HOME").ok().map(|home| set("HOME", home)));
    environment.push(set("HTTPFAULT_POLL_MS", "5000".to_owned()));
    environment.push(set("HTTPFAULT_ANSWER_SECS", "120".to_owned()));
    environment.extend(args.agent_dir.as_ref().map(|agents| set("AGENT_DIR", agents.display().to_string())));
    let pass =
        Pass { environment, cluster: template.cluster()?, files: files.to_owned(), duration: args.duration };
    pass.all(&template.services()?)
}
