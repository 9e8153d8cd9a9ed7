//! Python with boto3 and moto, as independent witnesses: a client that others wrote for the simulator, and a simulator
//! that others wrote for the client. Versions are pinned in `python/requirements.txt`; the packages come from PyPI
//! and are kept in cargo's target directory. Other packages for tests are installed the same way.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use crate::debug_chain;

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// An interpreter with the pinned packages.
#[derive(Clone, Debug)]
pub struct Python {
    interpreter: PathBuf,
    /// Set if the packages are not in a virtual environment.
    packages: Option<PathBuf>,
}

/// Why there is no Python to test with. Never a reason to skip a test.
#[derive(Error)]
#[non_exhaustive]
pub enum PythonError {
    /// No `python3` in PATH.
    #[error("running python3; install it (Debian: apt-get install python3 python3-venv)")]
    Missing(#[source] io::Error),
    /// pip failed.
    #[error(
        "installing these packages with pip failed; it needs pip (Debian: apt-get install python3-venv) and PyPI:\n{requirements}\n{said}"
    )]
    Install {
        /// What was to be installed.
        requirements: String,
        /// What pip wrote.
        said: String,
    },
    /// The directory for the packages can't be used.
    #[error("keeping Python packages in {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Python {
    /// Installs the simulator's packages unless that was done before. The first time takes some seconds.
    pub fn with_packages() -> Result<Self, PythonError> {
        Python::with("simulator-python", REQUIREMENTS)
    }

    /// The same for other packages, given as pip's requirements; `name` is their place in the target directory.
    pub fn with(name: &str, requirements: &str) -> Result<Self, PythonError> {
        let directory = target_directory().join(name);
        let problem = |source| PythonError::Directory { path: directory.clone(), source };
        fs::create_dir_all(&directory).map_err(problem)?;
        // Test programs that run at the same time must not install over each other.
        let lock = File::create(directory.join("lock")).map_err(problem)?;
        let _lock =
            Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, source)| problem(source.into()))?;

        let environment = directory.join("environment");
        let complete = environment.join("complete");
        if fs::read_to_string(&complete).is_ok_and(|installed| installed == requirements) {
            return Ok(Python::found_in(&environment));
        }
        if environment.exists() {
            fs::remove_dir_all(&environment).map_err(problem)?;
        }
        let file = directory.join("requirements.txt");
        fs::write(&file, requirements).map_err(problem)?;
        install(&environment, &file)?
            .map_err(|said| PythonError::Install { requirements: requirements.to_owned(), said })?;
        fs::write(&complete, requirements).map_err(problem)?;
        Ok(Python::found_in(&environment))
    }

    /// A command that runs this interpreter. Its environment is this process's, without any AWS setting.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        if let Some(packages) = &self.packages {
            command.env("PYTHONPATH", packages);
        }
        command
    }

    fn found_in(environment: &Path) -> Self {
        let packages = environment.join("packages");
        match packages.exists() {
            true => Python { interpreter: PathBuf::from("python3"), packages: Some(packages) },
            false => Python { interpreter: environment.join("bin/python"), packages: None },
        }
    }
}

/// The inner error is what pip wrote.
fn install(environment: &Path, requirements: &Path) -> Result<Result<(), String>, PythonError> {
    // Debian splits ensurepip off into python3-venv. Without it, pip itself can still put packages into a directory.
    let venv =
        run(Command::new("python3").args(["-m", "venv"]).arg(environment)).map_err(PythonError::Missing)?;
    let fallback = venv.is_err();
    let mut pip = match venv {
        Ok(()) => Command::new(environment.join("bin/python")),
        Err(_) => Command::new("python3"),
    };
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(requirements);
    if fallback {
        let _ = fs::remove_dir_all(environment);
        pip.arg("--target").arg(environment.join("packages"));
    }
    run(&mut pip).map_err(PythonError::Missing)
}

/// The inner error is what a program that failed wrote.
fn run(command: &mut Command) -> io::Result<Result<(), String>> {
    let output = command.output()?;
    Ok(match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
    })
}

/// Cargo marks its target directory with a CACHEDIR.TAG; the running program is somewhere below it.
pub fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let marked = program.ancestors().find(|path| path.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(std::env::temp_dir, Path::to_owned)
}

impl fmt::Debug for PythonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_chain(self, formatter)
    }
}
