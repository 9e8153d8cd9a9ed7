//! From a bare kernel to a system on which the agent can work, and back to power off.

use std::{
    convert::Infallible,
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::reboot::{RebootMode, reboot},
};

use crate::{finding::Host, link, netns::Netns};

/// A file system: its type, where, and its data.
type Mount = (&'static str, &'static str, Option<&'static str>);

const ALWAYS: [Mount; 4] = [
    ("proc", "/proc", None),
    ("sysfs", "/sys", None),
    ("devtmpfs", "/dev", None),
    ("tmpfs", "/run", Some("mode=755")),
];
const UNIFIED: Mount = ("cgroup2", "/sys/fs/cgroup", None);
/// As systemd does on a host with version 1 alone: a hierarchy with a name and no controller.
const LEGACY: Mount = ("cgroup", "/sys/fs/cgroup", Some("none,name=systemd"));

/// Mounts what every distribution mounts, loads the modules of the image, and sets the loopback interface up.
pub(crate) fn prepare(host: Host) -> Result<()> {
    let groups = if host == Host::LegacyCgroups { LEGACY } else { UNIFIED };
    for (kind, at, data) in ALWAYS.into_iter().chain([groups]) {
        fs::create_dir_all(at).with_context(|| format!("making {at}"))?;
        mount(Some(kind), at, Some(kind), MsFlags::empty(), data)
            .with_context(|| format!("mounting {kind} on {at}"))?;
    }
    for module in modules()? {
        let file = File::open(&module)?;
        finit_module(&file, c"", ModuleInitFlags::empty())
            .with_context(|| format!("loading the module {}", module.display()))?;
    }
    link::loopback_up(&Netns::own()?)
}

/// Runs a program of the image to its end, as on a host.
pub(crate) fn run(program: &OsStr, args: &[OsString], agent: &Path) -> Result<()> {
    let status = Command::new(program)
        .args(args)
        .envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")])
        .env("HTTPFAULT_AGENT", agent)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    ensure!(status.success(), "{} ended with {status}", program.display());
    Ok(())
}

/// On a running host: a /run of our own, so that `remove --all` and `status` see our faults alone. It goes with us.
pub(crate) fn seclude() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("leaving the host's mount namespace")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("making the mounts private")?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .context("mounting a private /run")
}

/// Ends the machine.
pub(crate) fn power_off() -> Result<()> {
    nix::unistd::sync();
    let _never: Infallible = reboot(RebootMode::RB_POWER_OFF).context("powering off")?;
    Ok(())
}

/// The modules of the image; their names begin with their place in the order of loading.
fn modules() -> Result<Vec<PathBuf>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir("/")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ko") && Path::is_file(&path) {
            modules.push(path);
        }
    }
    modules.sort();
    Ok(modules)
}
