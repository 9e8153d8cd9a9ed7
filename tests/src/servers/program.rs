//! A server or a client, ready to be started.

use std::{ffi::OsString, path::PathBuf, process::Command};

use anyhow::Result;
use tempfile::TempDir;

use super::install::{python, source};
use crate::{cgroup::Cgroup, netns::Namespace};

#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    /// Its files, which go with it.
    _files: Option<TempDir>,
}

impl Program {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new(), directory: None, environment: Vec::new(), _files: None }
    }

    /// A script of ours, with the packages of PyPI.
    pub(crate) fn python(script: &str, args: &[&str]) -> Result<Self> {
        Ok(Self::interpreter()?.arg(source(script)).args(args))
    }

    /// A program of PyPI that serves what is in `servers/python`.
    pub(crate) fn python_module(module: &str, args: &[&str]) -> Result<Self> {
        let mut program = Self::interpreter()?.args(&["-m", module]).args(args);
        program.directory = Some(source("servers/python"));
        Ok(program)
    }

    fn interpreter() -> Result<Self> {
        let command = python()?.command();
        let mut program = Self::new(command.get_program());
        for (name, value) in command.get_envs() {
            program.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        }
        // The directories of the sources stay as they are.
        Ok(program.env("PYTHONDONTWRITEBYTECODE", "1"))
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Keeps these files as long as the program.
    pub(crate) fn keep(self, files: TempDir) -> Self {
        Self { _files: Some(files), ..self }
    }

    /// The program in that cgroup and namespace.
    pub(crate) fn as_target(&self, cgroup: &Cgroup, namespace: &Namespace) -> Command {
        self.complete(cgroup.command(namespace, &self.path))
    }

    /// The program in that namespace.
    pub(crate) fn as_client(&self, namespace: &Namespace) -> Command {
        self.complete(namespace.command(&self.path))
    }

    fn complete(&self, mut command: Command) -> Command {
        command.args(&self.args).envs(self.environment.iter().cloned());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}
