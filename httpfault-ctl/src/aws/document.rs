//! The Systems Manager document that does what httpfault needs and nothing else, so that a role can be given this document
//! in place of AWS-RunShellScript, which is a root shell on every host; and the one that AWS FIS sends.

mod fis;

use std::collections::BTreeMap;

use aws_sdk_ssm::types::{DocumentFormat, DocumentType};
use serde_json::{Value, json};

use super::{config::Cloud, error::ApiError, scripts};
use crate::{agents::AgentFile, tunables::Architecture};

/// The name that `document` gives it, unless SSM_DOCUMENT says another.
const NAME: &str = "httpfault-run";
/// Base64; so whatever a caller gives, the one line that it stands in is a quoted word.
const REQUEST: &str = "^[A-Za-z0-9+/=]+$";
/// Seconds, as AWS-RunShellScript has them.
const SECONDS: &str = "^([1-9][0-9]{0,4}|1[0-6][0-9]{4}|17[01][0-9]{3}|172[0-7][0-9]{2}|172800)$";

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    /// For `httpfault-ctl` itself: SSM_DOCUMENT.
    Own,
    /// For experiments of AWS FIS.
    Fis,
}

/// What became of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Created,
    Updated,
    Unchanged,
}

impl DocumentKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => NAME,
            Self::Fis => fis::NAME,
        }
    }

    /// Its content, with the checksums of these agents in it.
    pub(crate) fn content(self, agents: &BTreeMap<Architecture, AgentFile>) -> Value {
        match self {
            Self::Own => own(agents),
            Self::Fis => fis::content(agents),
        }
    }
}

fn sums(agents: &BTreeMap<Architecture, AgentFile>) -> BTreeMap<Architecture, &str> {
    agents.iter().map(|(architecture, agent)| (*architecture, agent.sha256.as_str())).collect()
}

fn own(agents: &BTreeMap<Architecture, AgentFile>) -> Value {
    json!({
        "schemaVersion": "2.2",
        "description": "Puts an HTTP status fault on containers of this host for a while, shows it, takes it off (httpfault)",
        "parameters": {
            "request": {
                "type": "String",
                "description": "(Required) What to do, made by httpfault-ctl: gzipped words in base64",
                "allowedPattern": REQUEST,
            },
            "executionTimeout": {
                "type": "String",
                "description": "(Optional) Seconds until it is ended",
                "default": "3600",
                "allowedPattern": SECONDS,
            },
        },
        "mainSteps": [{
            "action": "aws:runShellScript",
            "name": "httpfault",
            "precondition": { "StringEquals": ["platformType", "Linux"] },
            "inputs": {
                "timeoutSeconds": "{{ executionTimeout }}",
                "runCommand": scripts::document(&sums(agents)).lines().collect::<Vec<_>>(),
            },
        }],
    })
}

impl Cloud {
    /// Makes sure that the account has the document with this content as its default version.
    pub(crate) async fn keep_document(&self, name: &str, content: &Value) -> Result<Kept, ApiError> {
        let text = content.to_string();
        let request = self.ssm.get_document().name(name).document_format(DocumentFormat::Json);
        let found = match self.call("ssm:GetDocument", request.send()).await {
            Err(ApiError::Service { code, .. }) if code == "InvalidDocument" => None,
            found => found?.content,
        };
        let Some(found) = found else {
            let request = self
                .ssm
                .create_document()
                .name(name)
                .content(text)
                .document_type(DocumentType::Command)
                .document_format(DocumentFormat::Json)
                .target_type("/AWS::EC2::Instance");
            self.call("ssm:CreateDocument", request.send()).await?;
            return Ok(Kept::Created);
        };
        if serde_json::from_str::<Value>(&found).is_ok_and(|found| found == *content) {
            return Ok(Kept::Unchanged);
        }
        let request = self
            .ssm
            .update_document()
            .name(name)
            .content(text)
            .document_format(DocumentFormat::Json)
            .document_version("$LATEST");
        let updated = self.call("ssm:UpdateDocument", request.send()).await?;
        let version = updated.document_description.and_then(|description| description.document_version);
        let request = self.ssm.update_document_default_version().name(name);
        let request = request.document_version(version.unwrap_or_default());
        self.call("ssm:UpdateDocumentDefaultVersion", request.send()).await?;
        Ok(Kept::Updated)
    }
}
