//! The one call of Amazon ECR that is modelled: GetAuthorizationToken.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{ApiError, Context};

/// The password that the token holds, for the user AWS.
pub const REGISTRY_PASSWORD: &str = "simulator-registry-password";

/// Carries out one action.
pub(crate) fn dispatch(context: &mut Context<'_>, action: &str) -> Result<Value, ApiError> {
    if action != "GetAuthorizationToken" {
        let message = format!("the simulator does not model ecr:{action}");
        return Err(ApiError::new("UnknownOperationException", message));
    }
    context.authorize(&["*".to_owned()], None)?;
    let world = &context.state.world;
    let endpoint = format!("https://{}.dkr.ecr.{}.amazonaws.com", world.account, world.region);
    let token = STANDARD.encode(format!("AWS:{REGISTRY_PASSWORD}"));
    Ok(json!({ "authorizationData": [{ "authorizationToken": token, "proxyEndpoint": endpoint }] }))
}
