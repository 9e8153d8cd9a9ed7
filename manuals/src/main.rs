//! Writes the manual pages and shell completions of both programs: `httpfault-manuals DIRECTORY`.
//!
//! The command lines are compiled in from the programs' own sources, so neither program carries a generator, and
//! nothing can fall behind.
#![forbid(unsafe_code)]

#[path = "../../httpfault-agent/src/args.rs"]
#[expect(dead_code, reason = "only the command line is used, not what is typed")]
mod agent;
#[path = "../../httpfault-ctl/src/args.rs"]
#[expect(dead_code, reason = "only the command line is used, not what is typed")]
mod ctl;
/// Where the controller's command line expects its table.
#[path = "../../httpfault-ctl/src/tunables"]
mod tunables {
    #[expect(dead_code, reason = "the table also says how values are read")]
    pub(crate) mod table;
}

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory as _, Parser};
use clap_complete::Shell;

#[derive(Debug, Parser)]
#[command(name = "httpfault-manuals")]
struct Args {
    /// Where to write `man/` and `completions/`
    directory: PathBuf,
}

fn main() -> Result<()> {
    let Args { directory } = Args::parse();
    for program in [agent::Cli::command(), ctl::command()] {
        let name = program.get_name().to_owned();
        write(&directory, program).with_context(|| format!("writing the manual of {name}"))?;
    }
    Ok(())
}

/// One page for the program and one for each of its commands; one file of completions for each shell.
fn write(directory: &Path, mut program: Command) -> Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    for made in [&man, &completions] {
        fs::create_dir_all(made).with_context(|| format!("making {}", made.display()))?;
    }
    clap_mangen::generate_to(program.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let name = program.get_name().to_owned();
        clap_complete::generate_to(shell, &mut program, name, &completions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shown_command_has_a_page_and_hidden_ones_have_none() {
        let directory = std::env::temp_dir().join(format!("httpfault-manuals-{}", std::process::id()));
        write(&directory, agent::Cli::command()).unwrap();
        for page in ["httpfault-agent.1", "httpfault-agent-run.1", "httpfault-agent-remove.1"] {
            assert!(directory.join("man").join(page).is_file(), "{page}");
        }
        assert!(!directory.join("man/httpfault-agent-watch.1").exists());
        assert!(directory.join("completions/httpfault-agent.bash").is_file());
        fs::remove_dir_all(&directory).unwrap();
    }
}
