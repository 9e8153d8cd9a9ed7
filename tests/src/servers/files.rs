//! Where a server's files are, for a machine that has nothing: `cargo xtask existing --kernel`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use httpfault_simulator::python::target_directory;

use super::{
    Server,
    install::{go_server, java_classes, python, source},
};
use crate::{
    command::{built, output},
    package,
};

/// What of a Python or a JDK no server needs, and what is large.
const NEEDLESS: [&str; 12] = [
    "test",
    "site-packages",
    "idlelib",
    "lib2to3",
    "tkinter",
    "ensurepip",
    "__pycache__",
    "turtledemo",
    "src.zip",
    "ct.sym",
    "jmods",
    "include",
];
/// Commands of the test bed.
const COMMANDS: [&str; 6] = ["sh", "ip", "nsenter", "dmesg", "env", "openssl"];
/// Configuration that every distribution has.
const CONFIGURATION: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf"];

/// Files and directories of these servers and of the test bed itself; libraries and links excluded.
pub fn files(servers: &[Server]) -> Result<Vec<PathBuf>> {
    let executable = std::env::current_exe().context("asking for the path of this executable")?;
    let mut files = vec![executable, built("fixture-server")?, target_directory().join("CACHEDIR.TAG")];
    for command in COMMANDS {
        files.push(found(command)?);
    }
    files.extend(CONFIGURATION.iter().map(PathBuf::from).filter(|path| path.exists()));
    for server in servers {
        files.extend(server.files()?);
    }
    Ok(files)
}

impl Server {
    fn files(self) -> Result<Vec<PathBuf>> {
        match self {
            Self::Nginx | Self::NginxH2 | Self::NginxTls => Ok(vec![package::nginx()?]),
            Self::PythonThreads
            | Self::GunicornSync
            | Self::GunicornThreads
            | Self::Uvicorn
            | Self::Hypercorn
            | Self::Grpc => python_files(),
            Self::Node => Ok(vec![found("node")?, source("servers/js")]),
            Self::Java => java_files(),
            Self::Go => Ok(vec![go_server()?]),
        }
    }
}

fn python_files() -> Result<Vec<PathBuf>> {
    let python = python()?;
    let script = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let library = output(python.command().args(["-c", script]))?;
    let mut files = lean(Path::new(library.trim()))?;
    files.extend([target_directory().join("servers-python"), source("servers/python")]);
    Ok(files)
}

fn java_files() -> Result<Vec<PathBuf>> {
    let java = fs::canonicalize(found("java")?).context("looking for the JDK")?;
    let home = java.ancestors().nth(2).context("java is in no JDK")?;
    let mut files = lean(&home.join("lib"))?;
    files.extend([found("java")?, home.join("conf"), java_classes()?]);
    Ok(files)
}

/// What is in a directory, without what is needless.
fn lean(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !NEEDLESS.contains(&name.as_str()) && !name.starts_with("config-") {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn found(command: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.map(|directory| directory.join(command)).find(|file| file.is_file());
    let found = found.with_context(|| format!("there is no {command} in PATH"))?;
    ensure!(found.is_absolute(), "{command} is in a relative directory of PATH");
    Ok(found)
}
