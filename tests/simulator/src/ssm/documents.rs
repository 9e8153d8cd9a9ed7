//! Documents of the account's own: CreateDocument, GetDocument, UpdateDocument, UpdateDocumentDefaultVersion, and what a
//! command makes of one.
//!
//! Source: SSM API reference; Systems Manager User Guide, "Data elements and parameters" (schema 2.2).

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{ApiError, Context, read};

/// A Command document of the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its name.
    pub name: String,
    /// The content of each version, JSON, oldest first.
    pub versions: Vec<String>,
    /// Which of them a command without a version runs, from 1.
    pub default_version: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    name: String,
    content: Option<String>,
    document_version: Option<String>,
    document_type: Option<String>,
    document_format: Option<String>,
}

/// Carries out one action; all of them name one document.
pub(super) fn dispatch(context: &mut Context<'_>, action: &str, request: Value) -> Result<Value, ApiError> {
    let request: Request = read(request)?;
    let world = &context.state.world;
    let arn = format!("arn:aws:ssm:{}:{}:document/{}", world.region, world.account, request.name);
    context.authorize(&[arn], None)?;
    let documents = &mut context.state.world.documents;
    let found = documents.iter_mut().find(|document| document.name == request.name);
    let missing =
        || ApiError::new("InvalidDocument", format!("Document with name {} does not exist.", request.name));
    match (action, found) {
        ("CreateDocument", Some(_)) => {
            Err(ApiError::new("DocumentAlreadyExists", "The specified document already exists."))
        }
        ("CreateDocument", None) => {
            if request.name.starts_with("AWS-") || request.document_type.as_deref() != Some("Command") {
                return Err(ApiError::new("ValidationException", "the simulator models Command documents"));
            }
            let content = content(&request)?;
            let document = Document { name: request.name, versions: vec![content], default_version: 1 };
            let answer = description(&document);
            documents.push(document);
            Ok(answer)
        }
        ("GetDocument", Some(document)) => Ok(json!({
            "Name": document.name, "Content": document.content(), "DocumentType": "Command",
            "DocumentFormat": "JSON", "DocumentVersion": document.default_version.to_string(), "Status": "Active",
        })),
        ("UpdateDocument", Some(document)) => {
            let content = content(&request)?;
            if request.document_version.as_deref() != Some("$LATEST") {
                return Err(ApiError::new("InvalidDocumentVersion", "The version must be $LATEST."));
            }
            if document.versions.last() == Some(&content) {
                let message = "The content of the association document matches another document.";
                return Err(ApiError::new("DuplicateDocumentContent", message));
            }
            document.versions.push(content);
            Ok(description(document))
        }
        ("UpdateDocumentDefaultVersion", Some(document)) => {
            let version = request.document_version.and_then(|version| version.parse().ok());
            match version.filter(|version| (1..=document.versions.len()).contains(version)) {
                Some(version) => document.default_version = version,
                None => return Err(ApiError::new("InvalidDocumentVersion", "The version does not exist.")),
            }
            Ok(json!({ "Description": { "Name": document.name } }))
        }
        (_, None) => Err(missing()),
        _ => Err(ApiError::internal()),
    }
}

fn content(request: &Request) -> Result<String, ApiError> {
    let invalid = |message: &str| ApiError::new("InvalidDocumentContent", message.to_owned());
    let content = request.content.clone().unwrap_or_default();
    if content.len() > super::document::MAX_DOCUMENT {
        return Err(ApiError::new("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB."));
    }
    let parsed: Value = serde_json::from_str(&content).map_err(|_no_json| invalid("it is not JSON"))?;
    let steps = parsed["mainSteps"].as_array().map_or(0, Vec::len);
    let step = &parsed["mainSteps"][0];
    if request.document_format.as_deref() != Some("JSON")
        || parsed["schemaVersion"] != "2.2"
        || steps != 1
        || step["action"] != "aws:runShellScript"
        || !step["inputs"]["runCommand"].is_array()
    {
        return Err(invalid("the simulator models JSON, schema 2.2, one step aws:runShellScript"));
    }
    Ok(content)
}

fn description(document: &Document) -> Value {
    json!({ "DocumentDescription": {
        "Name": document.name, "DocumentType": "Command", "Status": "Active",
        "DocumentVersion": document.versions.len().to_string(),
        "LatestVersion": document.versions.len().to_string(),
        "DefaultVersion": document.default_version.to_string(),
    }})
}

/// What a document becomes with the parameters of a command.
pub(super) struct Expanded {
    pub(super) script: String,
    pub(super) execution_timeout: Option<String>,
}

impl Document {
    fn content(&self) -> &str {
        self.versions.get(self.default_version - 1).map_or("", String::as_str)
    }

    /// Checks the parameters and puts them into the step.
    pub(super) fn expand(
        &self,
        given: &BTreeMap<String, Vec<String>>,
        limit: usize,
    ) -> Result<Expanded, ApiError> {
        let invalid = |message: String| ApiError::new("InvalidParameters", message);
        let content: Value = serde_json::from_str(self.content()).map_err(|_broken| ApiError::internal())?;
        let declared = content["parameters"].as_object().cloned().unwrap_or_default();
        if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
            return Err(invalid(format!("Parameter {name} is not defined in the document")));
        }
        let mut values = Vec::new();
        for (name, parameter) in &declared {
            let value = match given.get(name).map(Vec::as_slice) {
                Some([one]) => one.clone(),
                None => match parameter["default"].as_str() {
                    Some(default) => default.to_owned(),
                    None => return Err(invalid(format!("Parameter {name} has no value and no default"))),
                },
                Some(_) => return Err(invalid(format!("Parameter {name} is a String and takes one value"))),
            };
            let pattern = parameter["allowedPattern"].as_str().map(Regex::new);
            if pattern.is_some_and(|pattern| !pattern.is_ok_and(|pattern| pattern.is_match(&value))) {
                return Err(invalid(format!("Parameter {name} does not match its allowedPattern")));
            }
            values.push((name, value));
        }
        if self.content().len() + values.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            > limit
        {
            let message = "The size limit of a document is 64 KB, with the parameters given at runtime.";
            return Err(ApiError::new("MaxDocumentSizeExceeded", message));
        }
        let fill = |text: &str| {
            values.iter().fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{{ {name} }}}}"), value).replace(&format!("{{{{{name}}}}}"), value)
            })
        };
        let inputs = &content["mainSteps"][0]["inputs"];
        let lines = inputs["runCommand"].as_array().into_iter().flatten().filter_map(Value::as_str).map(fill);
        Ok(Expanded {
            script: lines.collect::<Vec<_>>().join("\n"),
            execution_timeout: inputs["timeoutSeconds"].as_str().map(fill),
        })
    }
}
