//! `cargo xtask deny`: licences, sources, bans and advisories of all dependencies, by cargo-deny (deny.toml).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{metadata::Metadata, process, say};

const PROGRAM: &str = "cargo-deny";
const VERSION: &str = "0.20.2";
/// As the configuration has it.
const DATABASE: &str = "https://github.com/RustSec/advisory-db";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// A copy of RustSec's database, a git repository, where that cannot be fetched from its place
    #[arg(long, value_name = "DIRECTORY")]
    advisories: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let target = Metadata::read()?.target_directory;
    let program = program(&target)?;
    let deny = |before: &[&str], after: &[&str]| {
        let mut deny = process::command(&program);
        copy_of_database(&mut deny, args.advisories.as_deref())?;
        process::run(deny.args(before).args(after))
    };
    deny(&["--locked", "--workspace"], &["check", "bans", "licenses", "sources"])?;
    // Whether there are advisories is one thing, whether this machine gets to know is another.
    if let Err(why) = deny(&[], &["fetch", "db"]) {
        ensure!(args.advisories.is_none(), "the copy of the database can't be used: {why:#}");
        say::line(format_args!(
            "advisories were NOT looked at: {DATABASE} can't be fetched from here; \
             `cargo xtask deny --advisories DIRECTORY` takes a copy of it"
        ));
        return Ok(());
    }
    deny(&["--locked", "--offline", "--workspace"], &["check", "advisories"])
}

/// cargo-deny fetches by git, which can be told to look elsewhere.
fn copy_of_database(deny: &mut Command, copy: Option<&Path>) -> Result<()> {
    let Some(copy) = copy else { return Ok(()) };
    let copy = fs::canonicalize(copy).with_context(|| format!("looking for {}", copy.display()))?;
    deny.env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", copy.display()))
        .env("GIT_CONFIG_VALUE_0", DATABASE);
    Ok(())
}

/// The program of the version that the configuration is for, built if it is not there.
fn program(target: &Path) -> Result<PathBuf> {
    let tools = target.join("tools");
    let own = tools.join("bin").join(PROGRAM);
    let candidates = [process::find(PROGRAM), Some(own.clone())];
    for candidate in candidates.into_iter().flatten() {
        let version = process::read(process::command(&candidate).arg("--version"));
        if version.is_ok_and(|version| version.trim().ends_with(VERSION)) {
            return Ok(candidate);
        }
    }
    let install = ["install", "--quiet", "--locked", "--force", PROGRAM, "--version", VERSION, "--root"];
    process::run(process::cargo().args(install).arg(&tools))?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_the_database() {
        assert!(fs::read_to_string(process::root().join("deny.toml")).unwrap().contains(DATABASE));
    }
}
