//! The plots, as SVG.

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::{
        BLACK, ChartBuilder, Circle, Color, DrawingArea, IntoDrawingArea, IntoLogRange, PathElement,
        RGBColor, Rectangle, SVGBackend, Text, WHITE,
    },
    style::{IntoFont, ShapeStyle},
};

use crate::{
    figures::{Spread, cpu, of, user_share},
    results::{Results, Row, Style, Task, When, Who},
};

/// Name and picture.
pub(super) type Plot = (&'static str, String);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";
const WIDTH: u32 = 900;
const BAR: i32 = 14;
/// Where the bars begin.
const LEFT: i32 = 330;

/// Those for which there are numbers.
pub(super) fn all(results: &Results) -> Result<Vec<Plot>> {
    let drawn =
        [("cpu.svg", cpu_bars(results)), ("latency.svg", latency(results)), ("start.svg", start(results))];
    drawn
        .into_iter()
        .map(|(name, picture)| Ok((name, picture.map_err(|why| anyhow!("drawing {name}: {why}"))?)))
        .collect()
}

type Drawn = Result<String, Box<dyn std::error::Error>>;

/// Of each kind of load one group, mitmproxy left out: it would make all others invisible.
fn groups(results: &Results) -> Vec<(Style, Vec<&Row>)> {
    let shown = |row: &&Row| row.task == Task::Fault && row.who != Who::Mitmproxy && !row.samples.is_empty();
    let group = |style: Style| {
        (style, results.rows.iter().filter(shown).filter(|row| row.style == style).collect::<Vec<_>>())
    };
    Style::ALL.into_iter().map(group).filter(|(_, rows)| !rows.is_empty()).collect()
}

fn cpu_bars(results: &Results) -> Drawn {
    let groups = groups(results);
    let most = groups.iter().flat_map(|(_, rows)| rows).filter_map(|row| cpu(row)).map(|cpu| cpu.most());
    let most = most.fold(1.0, f64::max);
    let scale = f64::from(WIDTH as i32 - LEFT - 70) / most;
    let title =
        "CPU time of a response, µs: user part dark, kernel part light; the line is the spread of the rounds";
    bars(&groups, title, |area, row, y| {
        let Some(cpu) = cpu(row) else { return Ok(()) };
        let at = |value: f64| LEFT + (value * scale) as i32;
        let (user, whole) = (cpu.median() * user_share(row), cpu.median());
        let color = color(row.who);
        area.draw(&Rectangle::new([(LEFT, y), (at(user), y + BAR - 3)], color.filled()))?;
        area.draw(&Rectangle::new([(at(user), y), (at(whole), y + BAR - 3)], color.mix(0.45).filled()))?;
        let middle = y + BAR / 2 - 2;
        area.draw(&PathElement::new([(at(cpu.least()), middle), (at(cpu.most()), middle)], BLACK))?;
        label(area, &format!("{whole:.1}"), (at(cpu.most()) + 5, y))
    })
}

/// p50, p99 and p99.9 on one logarithmic line.
fn latency(results: &Results) -> Drawn {
    let groups = groups(results);
    let title = "Latency, µs, logarithmic: p50 full, p99 and p99.9 hollow";
    let scale = f64::from(WIDTH as i32 - LEFT - 70) / 5.0;
    bars(&groups, title, |area, row, y| {
        let parts = [of(&row.samples, |s| s.p50), of(&row.samples, |s| s.p99), of(&row.samples, |s| s.p999)];
        let color = color(row.who);
        let middle = y + BAR / 2 - 2;
        let xs: Vec<i32> = parts
            .iter()
            .flatten()
            .map(|spread| LEFT + (spread.median().max(10.0).log10() - 1.0).mul_add(scale, 0.0) as i32)
            .collect();
        if let [first, .., last] = xs[..] {
            area.draw(&PathElement::new([(first, middle), (last, middle)], color))?;
        }
        for (index, x) in xs.iter().enumerate() {
            let style = if index == 0 { color.filled() } else { ShapeStyle::from(color) };
            area.draw(&Circle::new((*x, middle), 4, style))?;
        }
        let median = parts[0].as_ref().map_or(0.0, Spread::median);
        label(area, &format!("{median:.0}"), (xs.last().copied().unwrap_or(LEFT) + 8, y))
    })
}

/// Lines of bars, a group for each kind of load.
fn bars(
    groups: &[(Style, Vec<&Row>)],
    title: &str,
    mut draw: impl FnMut(&Area<'_>, &Row, i32) -> Result<(), Box<dyn std::error::Error>>,
) -> Drawn {
    let lines: i32 = groups.iter().map(|(_, rows)| rows.len() as i32 * BAR + 26).sum();
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, (WIDTH, (lines + 40) as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        label(&area, title, (10, 10))?;
        let mut y = 36;
        for (style, rows) in groups {
            label(&area, style.name(), (10, y))?;
            y += 16;
            for row in rows {
                label(&area, row.who.name(), (LEFT - 130, y))?;
                draw(&area, row, y)?;
                y += BAR;
            }
            y += 10;
        }
        area.present()?;
    }
    Ok(picture)
}

/// Each start a dot.
fn start(results: &Results) -> Drawn {
    let on: Vec<_> = results.moments.iter().filter(|moment| moment.what == When::On).collect();
    let most = on.iter().flat_map(|moment| &moment.times).copied().fold(100.0, f64::max);
    let mut picture = String::new();
    {
        let height = on.len() as u32 * 34 + 90;
        let area = SVGBackend::with_string(&mut picture, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("From exec to the first faulted response, ms, each fault a dot", (FONT, 13))
            .margin(12)
            .margin_left(360)
            .x_label_area_size(28)
            .build_cartesian_2d((1.0..most * 1.2).log_scale(), -0.5..on.len() as f64 - 0.5)?;
        chart.configure_mesh().disable_y_mesh().disable_y_axis().label_style((FONT, 11)).draw()?;
        for (line, moment) in on.iter().rev().enumerate() {
            let color = if moment.how.starts_with('`') { color(Who::Agent) } else { color(Who::Nginx) };
            let Some(spread) = Spread::of(moment.times.iter().copied()) else { continue };
            let dots = spread
                .numbers()
                .iter()
                .map(|time| Circle::new((*time, line as f64), 4, color.mix(0.5).filled()));
            chart.draw_series(dots)?;
            let (_, y) = chart.backend_coord(&(spread.median(), line as f64));
            label(&area, &moment.how.replace('`', ""), (10, y - 6))?;
        }
        area.present()?;
    }
    Ok(picture)
}

fn label(area: &Area<'_>, text: &str, at: (i32, i32)) -> Result<(), Box<dyn std::error::Error>> {
    area.draw(&Text::new(text.to_owned(), at, (FONT, 12).into_font()))?;
    Ok(())
}

fn color(who: Who) -> RGBColor {
    match who {
        Who::Agent => RGBColor(200, 60, 30),
        Who::Nginx => RGBColor(20, 130, 70),
        Who::Haproxy => RGBColor(30, 90, 170),
        Who::Mitmproxy => RGBColor(150, 90, 160),
        Who::Floor => RGBColor(90, 90, 90),
        Who::Application => RGBColor(170, 130, 30),
    }
}
