//! The report as files: the document itself, a page, text, a picture, and one for CI.

mod escape;
mod junit;
mod page;
mod picture;

use anyhow::Context;
use askama::Template;

pub(crate) use escape::{Markdown, Markup};

use super::RunReport;

/// One file of a report.
#[derive(Clone, Debug)]
pub(crate) struct ReportFile {
    pub(crate) name: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) text: String,
}

/// All of them; the first is the document that is printed with `--output json`.
pub(crate) fn all(report: &RunReport) -> anyhow::Result<Vec<ReportFile>> {
    let file = |name, content_type, text| ReportFile { name, content_type, text };
    let page = page::Page::of(report);
    let json = serde_json::to_string(report).context("writing the report as JSON")? + "\n";
    let mut files = vec![
        file("report.json", "application/json", json),
        file(
            "report.md",
            "text/markdown; charset=utf-8",
            page::InMarkdown::beside_picture(&page).render().context("writing report.md")?,
        ),
        file(
            "report.html",
            "text/html; charset=utf-8",
            page::InHtml::of(report, &page).render().context("writing report.html")?,
        ),
        file("junit.xml", "application/xml", junit::of(report).context("writing junit.xml")?),
    ];
    if let Some(picture) = picture::alone(report) {
        files.push(file("timeline.svg", "image/svg+xml", picture.render().context("drawing timeline.svg")?));
    }
    Ok(files)
}

/// The text alone.
pub(crate) fn markdown(report: &RunReport) -> anyhow::Result<String> {
    page::InMarkdown::alone(&page::Page::of(report)).render().context("writing the report as Markdown")
}
