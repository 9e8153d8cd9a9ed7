//! The kernel object as the agent carries it: maps and instructions, relocated while the agent is built, as Rust source.
//!
//! Nothing is left for the agent to parse. Where an instruction names a map, the map's place in the list of maps stands
//! for its file descriptor.

use std::{collections::HashSet, fmt::Write as _};

use aya_obj::{
    EbpfSectionKind, Map, Object, ProgramSection,
    generated::{bpf_attach_type, bpf_insn, bpf_prog_type},
};

/// The object can't be turned into what the agent carries.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the kernel object can't be read")]
    Parse(#[from] aya_obj::ParseError),
    #[error("the kernel object can't be relocated")]
    Relocate(#[from] aya_obj::relocation::EbpfRelocationError),
    #[error("program {name} is of a type that the agent's loader does not know: {section:?}")]
    Type { name: String, section: ProgramSection },
    #[error("program {0} has no instructions in the object")]
    NoFunction(String),
}

/// Rust source of `LICENSE` and of two arrays, `MAPS` and `PROGRAMS`, of types that its includer defines.
///
/// `constants` are constants of the object with two values; a map with constants has its contents twice, with the first
/// ones and with the others.
pub fn image(object: &[u8], constants: &[(&str, [&[u8]; 2])]) -> Result<String, ImageError> {
    let [mut parsed, mut changed] = [Object::parse(object)?, Object::parse(object)?];
    for (which, object) in [&mut parsed, &mut changed].into_iter().enumerate() {
        let values = constants.iter().map(|(name, values)| (*name, (values[which], true)));
        object.patch_map_data(values.collect())?;
    }

    let maps: Vec<(String, Map)> = sorted(parsed.maps.drain());
    let code: HashSet<usize> = parsed.functions.keys().map(|(section, _)| *section).collect();
    parsed.relocate_maps((0..).zip(&maps).map(|(place, (name, map))| (name.as_str(), place, map)), &code)?;
    parsed.relocate_calls(&code)?;

    let mut source = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(source, "pub(super) static LICENSE: &CStr = c{:?};", parsed.license);
    let _ = writeln!(source, "pub(super) static MAPS: [Map; {}] = [", maps.len());
    for (name, map) in &maps {
        let others = changed.maps.get(name).map_or(&[][..], Map::data);
        let _ = writeln!(source, "{},", map_source(name, map, others));
    }
    let programs = sorted(parsed.programs.drain());
    let _ = writeln!(source, "];\npub(super) static PROGRAMS: [Program; {}] = [", programs.len());
    for (name, program) in programs {
        let function = parsed.functions.get(&program.function_key());
        let function = function.ok_or_else(|| ImageError::NoFunction(name.clone()))?;
        let Some((kind, attach)) = types(&program.section) else {
            return Err(ImageError::Type { name, section: program.section });
        };
        let code: Vec<u64> = function.instructions.iter().map(word).collect();
        let _ = writeln!(
            source,
            "Program {{ name: {name:?}, kind: {}, attach: {}, code: &{code:?} }},",
            kind as u32,
            attach.map_or(0, |attach| attach as u32),
        );
    }
    source.push_str("];\n");
    Ok(source)
}

fn map_source(name: &str, map: &Map, others: &[u8]) -> String {
    let constants = matches!(map.section_kind(), EbpfSectionKind::Rodata);
    let (contents, others) = if constants { (map.data(), others) } else { (&[][..], &[][..]) };
    format!(
        "Map {{ name: {name:?}, kind: {}, key_size: {}, value_size: {}, max_entries: {}, flags: {}, contents: &{contents:?}, \
         others: &{others:?} }}",
        map.map_type(),
        map.key_size(),
        map.value_size(),
        map.max_entries(),
        map.map_flags(),
    )
}

/// What the kernel has to be told of a program: its type, and where it will be attached.
fn types(section: &ProgramSection) -> Option<(bpf_prog_type, Option<bpf_attach_type>)> {
    // Whatever is not used is not known.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum lists every program type of the kernel")]
    match section {
        ProgramSection::SkLookup => {
            Some((bpf_prog_type::BPF_PROG_TYPE_SK_LOOKUP, Some(bpf_attach_type::BPF_SK_LOOKUP)))
        }
        ProgramSection::CgroupSockAddr { attach_type } => {
            Some((bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCK_ADDR, Some((*attach_type).into())))
        }
        ProgramSection::SkSkbStream { kind } => {
            Some((bpf_prog_type::BPF_PROG_TYPE_SK_SKB, Some((*kind).into())))
        }
        ProgramSection::SchedClassifier => Some((bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, None)),
        ProgramSection::SocketFilter => Some((bpf_prog_type::BPF_PROG_TYPE_SOCKET_FILTER, None)),
        _ => None,
    }
}

/// An instruction as it lies in memory, on the little-endian machines that the object is for.
fn word(instruction: &bpf_insn) -> u64 {
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    let [offset_low, offset_high] = instruction.off.to_le_bytes();
    let [a, b, c, d] = instruction.imm.to_le_bytes();
    u64::from_le_bytes([instruction.code, registers, offset_low, offset_high, a, b, c, d])
}

/// By name, so that two builds give the same source.
fn sorted<T>(named: impl Iterator<Item = (String, T)>) -> Vec<(String, T)> {
    let mut named: Vec<_> = named.collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    named
}
