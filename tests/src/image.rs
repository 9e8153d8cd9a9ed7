//! The image of the target containers, made from local files: nginx from its Debian package, the fixtures that are
//! built with the tests, and the shared libraries of each. No registry is needed.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{built, output},
    engine::Engine,
    package::nginx,
    servers::certificate,
};

/// Answers like an application does; see the file for what it serves where.
const NGINX_CONF: &str = include_str!("../assets/nginx.conf");
/// Size of `/big`, bytes: 8 s at the rate that nginx.conf allows.
const BIG_BYTES: u64 = 4 * 1024 * 1024;

/// Makes sure that the engine has the image and returns its name.
pub fn ensure(engine: &Engine) -> Result<String> {
    let programs = [
        ("/usr/sbin/nginx", nginx()?),
        ("/usr/bin/fixture-server", built("fixture-server")?),
        ("/usr/bin/fixture-client", built("fixture-client")?),
    ];
    let name = format!("httpfault-target:{:016x}", fingerprint(&programs)?);
    if output(engine.docker().args(["image", "inspect", &name])).is_ok() {
        return Ok(name);
    }
    let root = tempfile::tempdir().context("creating a directory for the image")?;
    for (inside, outside) in &programs {
        install(root.path(), inside, outside)?;
    }
    configure(root.path())?;
    import(engine, root.path(), &name)?;
    Ok(name)
}

/// Changes when a program does, so that a rebuilt fixture is not tested in its old image.
fn fingerprint(programs: &[(&str, PathBuf)]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    NGINX_CONF.hash(&mut hasher);
    for (_, outside) in programs {
        let data = fs::metadata(outside).with_context(|| format!("looking at {}", outside.display()))?;
        (data.len(), data.modified()?).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// Copies a program and the libraries that `ldd` names to the same places below `root`.
fn install(root: &Path, inside: &str, outside: &Path) -> Result<()> {
    copy(outside, &below(root, inside))?;
    let libraries = output(Command::new("ldd").arg(outside))?;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(library), &below(root, library))?;
    }
    Ok(())
}

fn configure(root: &Path) -> Result<()> {
    for directory in ["etc/nginx", "var/log/nginx", "var/lib/nginx", "run", "srv", "tmp"] {
        fs::create_dir_all(root.join(directory))
            .with_context(|| format!("creating {directory} in the image"))?;
    }
    fs::write(root.join("etc/nginx/nginx.conf"), NGINX_CONF)?;
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/none\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::File::create(root.join("srv/big"))?.set_len(BIG_BYTES)?;
    certificate(&root.join("etc/nginx"))
}

fn import(engine: &Engine, root: &Path, name: &str) -> Result<()> {
    let mut tar = Command::new("tar")
        .args(["--create", "."])
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting tar")?;
    let archive = tar.stdout.take().context("tar has no standard output")?;
    let mut docker = engine.docker();
    let imported =
        docker.args(["import", "-", name]).stdin(archive).output().context("running docker import")?;
    let packed = tar.wait().context("waiting for tar")?;
    if !packed.success() || !imported.status.success() {
        bail!("importing the image: {}", String::from_utf8_lossy(&imported.stderr));
    }
    Ok(())
}

fn below(root: &Path, absolute: &str) -> PathBuf {
    root.join(absolute.trim_start_matches('/'))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a file has a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}
