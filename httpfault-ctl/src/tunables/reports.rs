//! Where the report goes beside what is printed.

use std::path::PathBuf;

use super::{
    raw::Raw,
    settings::S3Uri,
    table::{self as t, Kind, Tunable},
};

/// Every place that was named.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReportTo {
    pub(crate) local: Option<Local>,
    pub(crate) s3: Option<S3Uri>,
}

/// On this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    Directory(PathBuf),
    /// Where the printed report goes, in place of it.
    Printed,
}

/// Where the numbers go, beside the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// As Prometheus' textfile collector reads them.
    pub(crate) file: Option<PathBuf>,
    /// As CloudWatch's lines.
    pub(crate) emf: bool,
}

pub(super) fn read_metrics(raw: &mut Raw) -> Metrics {
    let emf = raw.formed(&t::METRICS, |text| text == "emf", "emf");
    Metrics { file: raw.text(&t::METRICS_FILE).map(PathBuf::from), emf: emf.is_some() }
}

pub(super) fn read_report_to(raw: &mut Raw) -> ReportTo {
    let local = raw.text(&t::REPORT_DIR).map(|text| match text.trim() {
        "-" => Local::Printed,
        directory => Local::Directory(directory.into()),
    });
    let is_s3 = |text: &str| S3Uri::new(text).is_some();
    let s3 = raw.formed(&t::REPORT_S3_URI, is_s3, "s3://bucket/prefix, in REGION");
    ReportTo { local, s3: s3.and_then(|text| S3Uri::new(&text)) }
}

/// What a run of the same has for itself, and what may be a secret.
const NOT_REPEATED: [&Tunable; 9] = [
    &t::EXPERIMENT_ID,
    &t::SEED,
    &t::YES,
    &t::OUTPUT,
    &t::POLL_MS,
    &t::ANSWER_SECS,
    &t::AGENT_DIR,
    &t::PROBE_HEADERS,
    &t::PROBE_REQUEST_BODY,
];

/// The settings as flags, for who wants the same again. The seed is added when it is known. Ways of authentication are left
/// out, and URLs that may be signed.
pub(super) fn repeated(raw: &Raw) -> Vec<String> {
    let kept = |tunable: &&&Tunable| {
        let one_of = |tunables: &[&Tunable]| tunables.iter().any(|one| one.variable == tunable.variable);
        !one_of(&NOT_REPEATED) && !one_of(&t::CREDENTIALS)
    };
    let flags = t::ALL.iter().filter(kept).flat_map(|tunable| {
        let texts = raw.texts(tunable).iter();
        let shown = texts.filter(|text| {
            tunable.kind != Kind::Value || !(text.contains("://") && text.contains(['?', '@']))
        });
        shown.flat_map(|text| [format!("--{}", tunable.flag), text.clone()]).collect::<Vec<_>>()
    });
    flags.collect()
}
