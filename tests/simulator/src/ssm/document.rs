//! The documents that can be sent, and the checks of their parameters.
//!
//! Source: the public text of AWS-RunShellScript (schema 1.2) and the limits of CreateDocument.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::Regex;

use crate::http::ApiError;
use crate::world::Platform;

/// A document with its parameters may not be larger than this.
pub(super) const MAX_DOCUMENT: usize = 64 * 1024;
/// Size of the text of AWS-RunShellScript itself.
const OWN_SIZE: usize = 1300;

static EXECUTION_TIMEOUT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("^(([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|(172[0-7][0-9]{2})|(172800))$").ok()
});
static PARAMETER_SYNTAX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{\{[^{}]*\}\}").ok());

/// The platform that a document is for.
pub(super) fn platform(name: &str) -> Result<Platform, ApiError> {
    let short = name.rsplit('/').next().unwrap_or(name);
    match short {
        "AWS-RunShellScript" => Ok(Platform::Linux),
        "AWS-RunPowerShellScript" => Ok(Platform::Windows),
        _ => Err(ApiError::new("InvalidDocument", format!("Document with name {name} does not exist."))),
    }
}

/// Checks the parameters as the service does before it accepts a command.
pub(super) fn check(
    parameters: &BTreeMap<String, Vec<String>>,
    limit: Option<usize>,
) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new("InvalidParameters", message));
    for (name, values) in parameters {
        match name.as_str() {
            "commands" => {}
            "workingDirectory" if one(values, |text| text.chars().count() <= 4096) => {}
            "executionTimeout" if one(values, |text| matches(&EXECUTION_TIMEOUT, text)) => {}
            "workingDirectory" | "executionTimeout" => {
                return invalid(format!("Parameter {name} does not have the allowed form: {values:?}"));
            }
            _ => return invalid(format!("Parameter {name} is not defined in the document")),
        }
        // The service would put the value of another parameter here, or refuse; it never reaches the shell as it is.
        if let Some(text) = values.iter().find(|text| matches(&PARAMETER_SYNTAX, text)) {
            let start: String = text.chars().take(80).collect();
            return invalid(format!(
                "Parameter {name} holds parameter syntax that can't be resolved: {start}"
            ));
        }
    }
    if parameters.get("commands").is_none_or(Vec::is_empty) {
        return invalid("Parameter commands has no value and no default".to_owned());
    }
    let sizes =
        parameters.iter().map(|(name, values)| name.len() + values.iter().map(json_size).sum::<usize>());
    if OWN_SIZE + sizes.sum::<usize>() > limit.unwrap_or(MAX_DOCUMENT) {
        let message = "The size limit of a document is 64 KB, with the parameters given at runtime.";
        return Err(ApiError::new("MaxDocumentSizeExceeded", message));
    }
    Ok(())
}

fn one(values: &[String], valid: impl Fn(&str) -> bool) -> bool {
    matches!(values, [value] if valid(value))
}

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// As a JSON string, with the comma after it.
fn json_size(text: &String) -> usize {
    serde_json::to_string(text).map_or(text.len(), |quoted| quoted.len()) + 1
}
