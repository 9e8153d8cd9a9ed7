//! The object that build.rs embedded: one for every kernel from 5.10 on.

use anyhow::Context as _;
use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    programs::{CgroupSockAddr, SchedClassifier, SkLookup},
};
use httpfault_common::abi::program;

use super::{attach::CLIENT_PROGRAMS, program as typed};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/httpfault.bpf.o"));

/// The map that aya-log adds, and its size while nothing is logged: one page, the smallest ring buffer.
const LOG_MAP: &str = "AYA_LOGS";
const QUIET_LOG_BYTES: u32 = 4096;

/// Loads the maps and the programs. With logging off the log statements are dead code to the verifier.
///
/// All programs are loaded here, while the maps they refer to are still open.
pub(super) fn load(with_reset: bool, log_steering: bool) -> anyhow::Result<Ebpf> {
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
    let loading = |name| move || format!("loading the kernel program {name}");
    typed::<SkLookup>(&mut ebpf, program::STEER)?.load().with_context(loading(program::STEER))?;
    for name in CLIENT_PROGRAMS {
        typed::<CgroupSockAddr>(&mut ebpf, name)?.load().with_context(loading(name))?;
    }
    if with_reset {
        typed::<SchedClassifier>(&mut ebpf, program::RESET)?.load().with_context(loading(program::RESET))?;
    }
    Ok(ebpf)
}

/// Prints the programs' log lines through `log`.
pub(super) fn logger(ebpf: &mut Ebpf) -> anyhow::Result<aya_log::EbpfLogger<&'static dyn log::Log>> {
    aya_log::EbpfLogger::init(ebpf).context("opening the kernel programs' log")
}

/// Unloads every program whose hooks are links, which detaches them. Those of the classifier were detached before.
pub(super) fn unload(ebpf: &mut Ebpf) -> Vec<anyhow::Error> {
    let steer = typed::<SkLookup>(ebpf, program::STEER).and_then(|steer| Ok(steer.unload()?));
    let mut errors: Vec<_> = steer.context("detaching httpfault_steer").err().into_iter().collect();
    for name in CLIENT_PROGRAMS {
        let client = typed::<CgroupSockAddr>(ebpf, name).and_then(|client| Ok(client.unload()?));
        errors.extend(client.with_context(|| format!("detaching {name}")).err());
    }
    errors
}
