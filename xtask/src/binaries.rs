//! The built programs, and how tests, demo and bench learn where they are.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use crate::{metadata::Metadata, process};

/// Programs and the variable that carries the absolute path of each.
const PROGRAMS: [(&str, &str); 2] =
    [("httpfault-agent", "HTTPFAULT_AGENT"), ("httpfault-ctl", "HTTPFAULT_CTL")];

/// Where cargo puts the programs of one profile.
#[derive(Debug)]
pub(crate) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Of debug builds.
    pub(crate) fn debug(metadata: &Metadata) -> Self {
        Self { directory: metadata.target_directory.join("debug") }
    }

    /// Of release builds.
    pub(crate) fn release(metadata: &Metadata) -> Self {
        Self { directory: metadata.target_directory.join("release") }
    }

    /// Tells the command where the programs are.
    pub(crate) fn export<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (program, variable) in PROGRAMS {
            command.env(variable, self.directory.join(program));
        }
        command
    }

    /// A program of the tests' package, ready to run with the same environment.
    pub(crate) fn program(&self, name: &str) -> Result<Command> {
        let path = self.directory.join(name);
        ensure!(path.is_file(), "there is no {}: the tests' package has no program {name}", path.display());
        let mut command = process::command(&path);
        self.export(&mut command);
        Ok(command)
    }
}
