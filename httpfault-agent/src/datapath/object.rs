//! The kernel programs that build.rs embedded, the same for every kernel from 5.10 on: made and loaded.

use std::{
    collections::HashMap,
    ffi::CStr,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use anyhow::{Context as _, anyhow};
use aya::maps::{Map as AyaMap, MapData};
use libc::RLIM_INFINITY;
use nix::sys::resource::{Resource, setrlimit};

use super::bpf::{self, NewMap, NewProgram};

mod new_connections {
    use super::{CStr, Map, Program};

    include!(concat!(env!("OUT_DIR"), "/new_connections.rs"));
}

mod existing_connections {
    use super::{CStr, Map, Program};

    include!(concat!(env!("OUT_DIR"), "/existing_connections.rs"));
}

/// An object as it was embedded.
pub(super) struct Image {
    maps: &'static [Map],
    programs: &'static [Program],
    license: &'static CStr,
}

pub(super) static NEW_CONNECTIONS: Image = Image {
    maps: &new_connections::MAPS,
    programs: &new_connections::PROGRAMS,
    license: new_connections::LICENSE,
};
pub(super) static EXISTING_CONNECTIONS: Image = Image {
    maps: &existing_connections::MAPS,
    programs: &existing_connections::PROGRAMS,
    license: existing_connections::LICENSE,
};

// build.rs can't see the crate of the programs' log.
const _: () = assert!(aya_log::Level::Info as u8 == 3);

/// A map of the object.
struct Map {
    name: &'static str,
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    /// Constants of the programs, as they are and with the log switched on; empty for other maps.
    contents: &'static [u8],
    others: &'static [u8],
}

/// A program of the object. Where an instruction names a map its place in `MAPS` stands for the descriptor.
struct Program {
    name: &'static str,
    kind: u32,
    attach: u32,
    code: &'static [u64],
}

/// The map that aya-log adds.
const LOG_MAP: &str = "AYA_LOGS";
/// `BPF_MAP_TYPE_RINGBUF`: its size is a multiple of the page's, at least one.
const RING_BUFFER: u32 = 27;
/// First byte of an instruction that loads a 64-bit constant (`BPF_LD | BPF_DW | BPF_IMM`), the source registers that
/// say that the constant is a map or an address in one, and where these are (include/uapi/linux/bpf.h).
const LOAD_CONSTANT: u64 = 0x18;
const NAMES_MAP: [u64; 2] = [1, 2];
const SOURCE_REGISTER: u32 = 12;
const CONSTANT: u32 = 32;
/// What the verifier has to say of a program that it refuses.
const VERIFIER_LOG: usize = 1 << 18;

/// An object's maps, and its programs that were loaded.
pub(super) struct Object {
    image: &'static Image,
    maps: Vec<OwnedFd>,
    programs: HashMap<&'static str, Loaded>,
}

#[derive(Debug)]
struct Loaded {
    program: OwnedFd,
    attach: u32,
}

impl Object {
    /// Makes every map and loads the programs with these names. Maps that stay empty are as small as can be. With logging
    /// off the log statements are dead code to the verifier.
    pub(super) fn load(
        image: &'static Image,
        names: &[&str],
        empty: &[&str],
        log_steering: bool,
    ) -> anyhow::Result<Self> {
        let make = |map: &Map| {
            let stays_empty = empty.contains(&map.name) || map.name == LOG_MAP && !log_steering;
            make_map(map, stays_empty, log_steering).with_context(|| format!("making the map {}", map.name))
        };
        let maps = image.maps.iter().map(make).collect::<anyhow::Result<Vec<_>>>()?;
        let mut programs = HashMap::new();
        for program in image.programs.iter().filter(|program| names.contains(&program.name)) {
            let loaded = load_program(program, image.license, &maps)
                .with_context(|| format!("loading the kernel program {}", program.name))?;
            programs.insert(program.name, Loaded { program: loaded, attach: program.attach });
        }
        Ok(Self { image, maps, programs })
    }

    /// A map.
    pub(super) fn descriptor(&self, name: &str) -> anyhow::Result<&OwnedFd> {
        self.maps.get(self.place(name)?).with_context(|| format!("the map {name} was not made"))
    }

    /// A map, as the type that this crate uses it with.
    pub(super) fn map<M>(&self, name: &str) -> anyhow::Result<M>
    where
        M: TryFrom<AyaMap>,
        M::Error: Into<anyhow::Error>,
    {
        let map = self.descriptor(name)?;
        let data = MapData::from_fd(map.try_clone().context("copying a descriptor")?)?;
        let map = AyaMap::from_map_data(data).with_context(|| format!("map {name}"))?;
        M::try_from(map).map_err(|why| why.into().context(format!("map {name}")))
    }

    /// A loaded program.
    pub(super) fn program(&self, name: &str) -> anyhow::Result<BorrowedFd<'_>> {
        Ok(self.loaded(name)?.program.as_fd())
    }

    /// Attaches a program to a namespace or a cgroup, for as long as the returned descriptor is open.
    pub(super) fn link(&self, name: &str, target: BorrowedFd<'_>) -> anyhow::Result<OwnedFd> {
        let Loaded { program, attach } = self.loaded(name)?;
        bpf::link(program, target, *attach).with_context(|| format!("attaching {name}"))
    }

    /// Prints the programs' log lines through `log`.
    pub(super) fn logger(&self) -> anyhow::Result<aya_log::EbpfLogger<&'static dyn log::Log>> {
        // The log is found through a program that has it, and not every program logs.
        let map = self.place(LOG_MAP)?;
        let logs = |program: &&Program| maps_of(program.code).any(|(_, place)| place == map);
        let program = self.image.programs.iter().find(logs).context("no program logs")?;
        let id = bpf::program_id(self.program(program.name)?)?;
        aya_log::EbpfLogger::init_from_id(id).context("opening the kernel programs' log")
    }

    fn place(&self, map: &str) -> anyhow::Result<usize> {
        let place = self.image.maps.iter().position(|known| known.name == map);
        place.with_context(|| format!("the object has no map {map}"))
    }

    fn loaded(&self, name: &str) -> anyhow::Result<&Loaded> {
        self.programs.get(name).ok_or_else(|| anyhow!("the program {name} is not loaded"))
    }
}

fn make_map(map: &Map, stays_empty: bool, log_steering: bool) -> io::Result<OwnedFd> {
    let page = u32::try_from(rustix::param::page_size()).map_err(io::Error::other)?;
    let max_entries = match map.kind {
        RING_BUFFER if stays_empty => page,
        RING_BUFFER => map.max_entries.next_multiple_of(page),
        _ if stays_empty => 1,
        _ => map.max_entries,
    };
    let (kind, key_size, value_size) = (map.kind, map.key_size, map.value_size);
    let new = NewMap { name: map.name, kind, key_size, value_size, max_entries, flags: map.flags };
    let made = bpf::create_map(&new).or_else(|why| {
        if why.kind() != io::ErrorKind::PermissionDenied {
            return Err(why);
        }
        // Before 5.11 maps and programs count as locked memory, and the usual limit is 64 KiB.
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
        bpf::create_map(&new)
    })?;
    let contents = if log_steering { map.others } else { map.contents };
    if !contents.is_empty() {
        bpf::fill_map(&made, contents)?;
        bpf::freeze_map(&made)?;
    }
    Ok(made)
}

fn load_program(program: &Program, license: &CStr, maps: &[OwnedFd]) -> anyhow::Result<OwnedFd> {
    let code = with_descriptors(program.code, maps)?;
    let new =
        NewProgram { name: program.name, kind: program.kind, attach: program.attach, code: &code, license };
    bpf::load_program(&new, None).map_err(|why| {
        // Once more for those who want to know why: the verifier's log is thousands of lines.
        if log::log_enabled!(log::Level::Info) {
            let mut told = vec![0; VERIFIER_LOG];
            let again = bpf::load_program(&new, Some(&mut told));
            let text = CStr::from_bytes_until_nul(&told).unwrap_or_default().to_string_lossy();
            log::info!("{}: {again:?}\n{text}", program.name);
        }
        why.into()
    })
}

/// The instructions with the descriptors of the maps that were made.
fn with_descriptors(code: &[u64], maps: &[OwnedFd]) -> anyhow::Result<Vec<u64>> {
    use std::os::fd::AsRawFd as _;
    let mut linked = code.to_vec();
    for (at, place) in maps_of(code) {
        let map = maps.get(place).context("an instruction names a map that is not there")?;
        let fd = u64::from(map.as_raw_fd().cast_unsigned());
        if let Some(instruction) = linked.get_mut(at) {
            *instruction = *instruction & ((1 << CONSTANT) - 1) | fd << CONSTANT;
        }
    }
    Ok(linked)
}

/// Where instructions name maps, and the place of each in `MAPS`.
fn maps_of(code: &[u64]) -> impl Iterator<Item = (usize, usize)> {
    let mut second_half = false;
    code.iter().enumerate().filter_map(move |(at, &instruction)| {
        let loads = !std::mem::take(&mut second_half) && instruction & 0xff == LOAD_CONSTANT;
        second_half = loads;
        let names_map = loads && NAMES_MAP.contains(&(instruction >> SOURCE_REGISTER & 0xf));
        let place = usize::try_from(instruction >> CONSTANT).ok()?;
        names_map.then_some((at, place))
    })
}
