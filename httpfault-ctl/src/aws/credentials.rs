//! Five ways in, and a role on top of any. Messages name the way and never a secret.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aws_config::{
    ConfigLoader, SdkConfig, profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig,
    sts::AssumeRoleProvider,
};
use aws_credential_types::{
    Credentials as Keys,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_types::error::display::DisplayErrorContext;

use super::error::ApiError;
use crate::tunables::Credentials;

/// A mounted secret can be rotated: its file is read again after this time.
const REREAD: Duration = Duration::from_secs(300);

/// Loads the configuration and proves that there are credentials. Returns the way they came, in words.
pub(super) async fn load(
    loader: ConfigLoader,
    base: ProviderConfig,
    wanted: &Credentials,
) -> Result<(SdkConfig, String), ApiError> {
    let profile = wanted.profile.clone().unwrap_or_else(|| "default".to_owned());
    let (loader, mut way) = if let Some(secret) = &wanted.secret {
        let path = secret_path(secret, &wanted.secret_dir)?;
        let way = format!("AWS_AUTHENTICATION_SECRET ({}, profile {profile})", path.display());
        readable(&path, &way)?;
        (loader.credentials_provider(SecretFile { path, profile, base: base.clone() }), way)
    } else if let Some(path) = wanted.shared_file.as_ref().filter(|path| decides(path)) {
        let way = format!("AWS_SHARED_CREDENTIALS_FILE ({}, profile {profile})", path.display());
        readable(path, &way)?;
        let path = path.clone();
        (loader.credentials_provider(SecretFile { path, profile, base: base.clone() }), way)
    } else {
        let loader = match &wanted.profile {
            Some(profile) => loader.profile_name(profile),
            None => loader,
        };
        (loader, environment_way(&profile))
    };
    let config = loader.load().await;
    prove(&config, &way).await?;

    let Some(role) = &wanted.role else { return Ok((config, way)) };
    way = format!("ASSUME_ROLE_ARN {role} with credentials from {way}");
    let mut provider =
        AssumeRoleProvider::builder(role).configure(&config).session_name(&wanted.role_session_name);
    if let Some(id) = &wanted.role_external_id {
        provider = provider.external_id(id);
    }
    let provider = SharedCredentialsProvider::new(provider.build().await);
    let config = config.into_builder().credentials_provider(provider).build();
    prove(&config, &way).await?;
    Ok((config, way))
}

/// Whether the file named by AWS_SHARED_CREDENTIALS_FILE is the one to use: keys in the environment win over it, as in
/// every SDK, and an empty file (`/dev/null`) is the usual way to say that there is none.
fn decides(path: &Path) -> bool {
    let keys = std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|value| !value.is_empty());
    let empty = std::fs::read(path).is_ok_and(|bytes| bytes.is_empty());
    !keys && !empty
}

/// Which of the default chain's providers will answer, in the chain's order.
fn environment_way(profile: &str) -> String {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let file = |name: &str| std::env::var(name).unwrap_or_default();
    if set("AWS_ACCESS_KEY_ID") {
        "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned()
    } else if set("AWS_PROFILE")
        || std::fs::metadata(file("AWS_CONFIG_FILE")).is_ok_and(|found| found.len() > 0)
    {
        format!("profile {profile} of the AWS configuration files")
    } else if set("AWS_WEB_IDENTITY_TOKEN_FILE") {
        format!(
            "the service account (web identity token {}, role {})",
            file("AWS_WEB_IDENTITY_TOKEN_FILE"),
            file("AWS_ROLE_ARN")
        )
    } else if set("AWS_CONTAINER_CREDENTIALS_FULL_URI") || set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let at = file("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        format!("the container credentials endpoint (EKS Pod Identity) {at}").trim_end().to_owned()
    } else {
        "the AWS configuration files or the instance role".to_owned()
    }
}

/// A path as it is; a bare name is looked up in the directory of mounted secrets, where it may be a file or a
/// directory with one file in it (how Kubernetes mounts a secret).
fn secret_path(secret: &str, dir: &Path) -> Result<PathBuf, ApiError> {
    let given = Path::new(secret);
    let path = if secret.contains('/') || given.is_file() { given.to_owned() } else { dir.join(secret) };
    if !path.is_dir() {
        return Ok(path);
    }
    let failed = |detail: String| ApiError::Credentials {
        way: format!("AWS_AUTHENTICATION_SECRET ({})", path.display()),
        detail,
    };
    let entries =
        std::fs::read_dir(&path).map_err(|error| failed(format!("listing the directory: {error}")))?;
    // Kubernetes keeps the data behind `..data` links: hidden entries are its own.
    let visible = |path: &PathBuf| {
        path.is_file() && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(visible).collect();
    match (files.len(), files.pop()) {
        (1, Some(file)) => Ok(file),
        (count, _) => Err(failed(format!("the directory has {count} files; name the one to use"))),
    }
}

fn readable(path: &Path, way: &str) -> Result<(), ApiError> {
    let failed = |detail: String| ApiError::Credentials { way: way.to_owned(), detail };
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(failed("the file is empty".to_owned())),
        Ok(_) => Ok(()),
        Err(error) => {
            Err(failed(format!("reading the file: {error}; mount the secret there, or correct the name")))
        }
    }
}

async fn prove(config: &SdkConfig, way: &str) -> Result<(), ApiError> {
    let failed = |detail: String| ApiError::Credentials { way: way.to_owned(), detail };
    let provider = config.credentials_provider().ok_or_else(|| failed("there is no provider".to_owned()))?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(explain(&error))),
    }
}

/// The SDK's chain of causes; none of them repeats a secret key or a token.
fn explain(error: &CredentialsError) -> String {
    let chain = DisplayErrorContext(error).to_string();
    // The debug output after the chain repeats it and can name more than a message should.
    let chain = chain.split(" (CredentialsError").next().unwrap_or(&chain).split(" (ProviderError").next();
    let chain = chain.unwrap_or("no reason was given").trim();
    if chain.contains("AccessDenied") {
        return format!(
            "{chain}; the role's trust policy must name the caller (and the external id, if it asks for one)"
        );
    }
    chain.to_owned()
}

/// A file in the format of ~/.aws/credentials, read again every few minutes: the SDK itself reads it once.
#[derive(Debug)]
struct SecretFile {
    path: PathBuf,
    profile: String,
    /// For profiles that assume a role: how to reach STS.
    base: ProviderConfig,
}

impl ProvideCredentials for SecretFile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let files =
                EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, &self.path).build();
            let provider = ProfileFileCredentialsProvider::builder()
                .configure(&self.base)
                .profile_files(files)
                .profile_name(&self.profile)
                .build();
            let keys = provider.provide_credentials().await?;
            let reread = SystemTime::now() + REREAD;
            let expiry = keys.expiry().map_or(reread, |expiry| expiry.min(reread));
            let token = keys.session_token().map(str::to_owned);
            Ok(Keys::new(keys.access_key_id(), keys.secret_access_key(), token, Some(expiry), "SecretFile"))
        })
    }
}
