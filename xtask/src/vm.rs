//! `cargo xtask vm`: the agent on other kernels. Each is booted in an emulated machine with nothing but the agent and
//! `httpfault-vm-init`, which drives it through its features and tells what became of each.

mod boot;
mod document;
mod image;
mod modules;
mod qemu;
mod rows;
mod table;
mod tree;

#[path = "../../vm-init/src/finding.rs"]
mod finding;

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use rows::{ROWS, Row};
use table::{Column, Table};

use crate::{metadata::Metadata, say, setup};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only this row of the table (repeatable); a wrong name lists them
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// The two kernels that every change has to work on
    #[arg(long, conflicts_with = "kernel")]
    ci: bool,
    /// Write the tables in README.md and docs/kernels.md; needs every row
    #[arg(long, conflicts_with_all = ["kernel", "ci"])]
    write: bool,
}

impl Args {
    pub(crate) fn ci() -> Self {
        Self { ci: true, ..Self::default() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let rows = chosen(args)?;
    setup::ensure_toolchain()?;
    qemu::ensure(rows.iter().filter_map(|row| row.kernel))?;
    let lab = boot::Lab::new(Metadata::read()?.target_directory);

    let mut columns = Vec::new();
    for row in rows {
        say::line(format_args!("\n== {}: {}", row.name, row.reason));
        let start = Instant::now();
        let column = lab.look(row).unwrap_or_else(|why| Column::failed(row, &format!("{why:#}")));
        say::line(column.summary(start.elapsed()));
        columns.push(column);
    }
    let table = Table::new(columns);
    say::line("");
    say::line(table.text());
    if args.write {
        document::write(&table)?;
    }
    let failures = table.failures();
    ensure!(failures.is_empty(), "failed:\n  {}", failures.join("\n  "));
    Ok(())
}

/// An emulated machine with a row's kernel, in which a program of this machine runs with its files; and the kernel's
/// release.
pub(crate) fn machine(kernel: &str, files: &[PathBuf], run: &[String]) -> Result<(String, Command)> {
    let args = Args { kernel: vec![kernel.to_owned()], ..Args::default() };
    let row = chosen(&args)?.pop().context("one row has that name")?;
    qemu::ensure(row.kernel.into_iter())?;
    let lab = boot::Lab::new(Metadata::read()?.target_directory);
    lab.machine_with(row, &tree::Tree::of(files)?, run)
}

fn chosen(args: &Args) -> Result<Vec<&'static Row>> {
    if args.ci {
        return Ok(ROWS.iter().filter(|row| row.ci).collect());
    }
    if args.kernel.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    let find = |name: &String| {
        let row = ROWS.iter().find(|row| row.name == name);
        row.with_context(|| format!("there is no kernel {name}, only {}", known.join(", ")))
    };
    args.kernel.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kernel: &[&str], ci: bool) -> Result<Vec<&'static str>> {
        let kernel = kernel.iter().map(|name| (*name).to_owned()).collect();
        let rows = chosen(&Args { kernel, ci, write: false })?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    #[test]
    fn rows_are_chosen_by_name_and_a_wrong_name_lists_them() {
        assert_eq!(named(&["6.1"], false).unwrap(), ["6.1"]);
        assert_eq!(named(&[], true).unwrap(), ["5.10", "6.1"]);
        assert_eq!(named(&[], false).unwrap().len(), ROWS.len());
        let error = named(&["2.4"], false).unwrap_err().to_string();
        assert!(error.contains("2.4") && error.contains("6.12"), "{error}");
    }
}
