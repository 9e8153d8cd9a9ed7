//! The object that build.rs embedded: one for every kernel from 5.10 on.

use anyhow::Context as _;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel, programs::Program};
use httpfault_common::abi::program;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/httpfault.bpf.o"));

/// The map that aya-log adds, and its size while nothing is logged: one page, the smallest ring buffer.
const LOG_MAP: &str = "AYA_LOGS";
const QUIET_LOG_BYTES: u32 = 4096;

/// Loads the maps and the programs. With logging off the log statements are dead code to the verifier.
pub(super) fn load(log_steering: bool) -> anyhow::Result<Ebpf> {
    let level: u8 = if log_steering { aya_log::Level::Info as u8 } else { 0 };
    let mut loader = EbpfLoader::new();
    // No BTF is needed, so none is asked of the host.
    loader.btf(None).override_global(aya_log::LEVEL, &level, false);
    // The verifier's log is thousands of lines, for those who ask for it.
    let verifier = if log::log_enabled!(log::Level::Info) {
        VerifierLogLevel::default()
    } else {
        VerifierLogLevel::DISABLE
    };
    loader.verifier_log_level(verifier);
    if !log_steering {
        loader.map_max_entries(LOG_MAP, QUIET_LOG_BYTES);
    }
    let mut ebpf = loader.load(OBJECT).context("loading the kernel programs' maps")?;
    for (name, program) in ebpf.programs_mut() {
        match program {
            Program::SkLookup(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            // Loaded when it is asked for: not every run resets connections.
            _ if name == program::RESET => Ok(()),
            _ => continue,
        }
        .with_context(|| format!("loading the kernel program {name}"))?;
    }
    Ok(ebpf)
}

/// Prints the programs' log lines through `log`.
pub(super) fn logger(ebpf: &mut Ebpf) -> anyhow::Result<aya_log::EbpfLogger<&'static dyn log::Log>> {
    aya_log::EbpfLogger::init(ebpf).context("opening the kernel programs' log")
}

/// Unloads every program, which detaches its links.
pub(super) fn unload(ebpf: &mut Ebpf) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        let unloaded = match program {
            Program::SkLookup(program) => program.unload(),
            Program::CgroupSockAddr(program) => program.unload(),
            Program::SchedClassifier(program) if program.fd().is_ok() => program.unload(),
            _ => continue,
        };
        if let Err(why) = unloaded {
            errors.push(anyhow::Error::from(why).context(format!("detaching {name}")));
        }
    }
    errors
}
