//! Interleaved rounds: whatever else the machine does meets all contenders alike.

use anyhow::Result;

use crate::{
    contenders::Contender,
    loads,
    results::{Results, Row, Style},
    size::Size,
};

/// Puts each load on each contender, round after round. A load that fails is named, and costs no other.
pub(crate) fn run(contenders: &[Contender], size: &Size, results: &mut Results) -> Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    let mut failures = Vec::new();
    for round in 0..size.rounds {
        for style in Style::ALL {
            let takes_part = |contender: &&Contender| contender.styles.contains(&style);
            let mut turns: Vec<&Contender> = contenders.iter().filter(takes_part).collect();
            if turns.is_empty() {
                continue;
            }
            // Nobody always comes after the same one.
            let first = round % turns.len();
            turns.rotate_left(first);
            for contender in turns {
                match loads::measure(contender, style, size.seconds) {
                    Ok(sample) => row(&mut rows, contender, style).samples.push(sample),
                    Err(error) => failures.push(format!(
                        "{}, {}, {}: {error:#}",
                        contender.who.name(),
                        contender.task.name(),
                        style.name()
                    )),
                }
            }
        }
        eprintln!("round {} of {}", round + 1, size.rounds);
    }
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    results.rows.append(&mut rows);
    results.failures.append(&mut failures);
    Ok(())
}

fn row<'a>(rows: &'a mut Vec<Row>, contender: &Contender, style: Style) -> &'a mut Row {
    let Contender { who, task, .. } = *contender;
    let is_it = |row: &Row| row.who == who && row.task == task && row.style == style;
    let index = rows.iter().position(is_it).unwrap_or_else(|| {
        rows.push(Row { who, task, style, samples: Vec::new() });
        rows.len() - 1
    });
    &mut rows[index]
}
