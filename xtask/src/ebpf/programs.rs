//! The programs in a kernel object.

use anyhow::{Context, Result};
use object::{File, Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Size of an instruction slot, bytes; a 64-bit constant takes two slots, and the verifier counts slots.
/// <https://docs.kernel.org/bpf/standardization/instruction-set.html>
const SLOT: u64 = 8;
/// Functions in this section are no programs: the loader copies them behind each program that calls them.
const SHARED: &str = ".text";

/// A program, or a function that programs share.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: String,
    /// Tells the loader the type and the hook.
    pub(super) section: String,
    pub(super) bytes: u64,
}

/// Programs first, each group by size.
pub(super) fn read(object: &[u8]) -> Result<Vec<Program>> {
    let file = File::parse(object).context("this is no object file")?;
    let mut programs = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(section) = symbol.section_index() else { continue };
        let section = file.section_by_index(section).context("a function without its section")?;
        programs.push(Program {
            name: readable(symbol.name().context("a function without a name")?),
            section: section.name().context("a section without a name")?.to_owned(),
            bytes: symbol.size(),
        });
    }
    programs.sort_by(|a, b| {
        (a.section == SHARED, b.bytes, &a.name).cmp(&(b.section == SHARED, a.bytes, &b.name))
    });
    Ok(programs)
}

/// One line for each program.
pub(super) fn table(programs: &[Program]) -> String {
    let width = programs.iter().map(|program| program.name.len()).max().unwrap_or(0);
    let mut lines =
        vec![format!("{:width$}  {:20} {:>6} {:>13}", "program", "section", "bytes", "instructions")];
    for Program { name, section, bytes } in programs {
        let section = if section == SHARED { "(shared function)" } else { section };
        lines.push(format!("{name:width$}  {section:20} {bytes:>6} {:>13}", bytes / SLOT));
    }
    lines.join("\n")
}

/// A name as in the source. Functions without `#[no_mangle]` have mangled names, of which the last part says
/// enough; a closure needs the function around it.
fn readable(symbol: &str) -> String {
    let plain = format!("{:#}", rustc_demangle::demangle(symbol));
    let parts: Vec<&str> = plain.split("::").collect();
    let named = parts.iter().rposition(|part| !part.starts_with('{')).unwrap_or(0);
    parts[named..].join("::")
}

#[cfg(test)]
mod tests {
    use object::{
        Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolScope,
        write::{Object as Writer, Symbol, SymbolSection},
    };

    use super::*;

    /// An object as bpf-linker makes it: one section per hook, functions in `.text`, a map that is no function.
    fn object() -> Vec<u8> {
        let mut object = Writer::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        let mut add = |section: &str, name: &str, kind, slots: usize| {
            let id = object.add_section(Vec::new(), section.into(), SectionKind::Text);
            let value = object.append_section_data(id, &vec![0; slots * 8], 8);
            object.add_symbol(Symbol {
                name: name.into(),
                value,
                size: slots as u64 * 8,
                kind,
                scope: SymbolScope::Dynamic,
                weak: false,
                section: SymbolSection::Section(id),
                flags: SymbolFlags::None,
            });
        };
        add(".text", "_RNvCs1234_5crate4deny", SymbolKind::Text, 500);
        add("sk_lookup", "steer", SymbolKind::Text, 20);
        add("socket", "gate", SymbolKind::Text, 30);
        add("maps", "CONFIG", SymbolKind::Data, 4);
        object.write().unwrap()
    }

    #[test]
    fn programs_come_before_shared_functions_and_the_largest_first() {
        let programs = read(&object()).unwrap();
        let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, ["gate", "steer", "deny"]);
    }

    #[test]
    fn the_table_counts_instruction_slots() {
        let table = table(&read(&object()).unwrap());
        let steer = table.lines().find(|line| line.starts_with("steer")).unwrap();
        assert_eq!(steer.split_whitespace().collect::<Vec<_>>(), ["steer", "sk_lookup", "160", "20"]);
        assert!(table.contains("(shared function)"), "{table}");
    }

    #[test]
    fn a_closure_keeps_the_name_of_its_function() {
        assert_eq!(
            readable("_RNCNvNtCs4FZ9T75QPcW_14httpfault_ebpf5local8redirects_0B5_"),
            "redirect::{closure#1}"
        );
        assert_eq!(readable("httpfault_steer"), "httpfault_steer");
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(read(b"not an object").is_err());
    }
}
