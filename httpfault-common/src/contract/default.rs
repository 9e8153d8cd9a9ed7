//! Defaults of both programs, as they are typed. They stand here once: the agent's flags and the controller's settings
//! are made from them.

pub const STATUS_CODE: &str = "503";
/// TARGET_SERVICE_PORT, `--port`.
pub const PORT: &str = "80";
pub const PROXY_PORT: &str = "20000";
pub const NETWORK_INTERFACE: &str = "auto";
/// TOTAL_CHAOS_DURATION, seconds.
pub const DURATION: &str = "60";
pub const MODIFY_RESPONSE_BODY: &str = "true";
/// Of the selected requests.
pub const PERCENT: &str = "100";
pub const EXISTING_CONNECTIONS: &str = "auto";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::ExistingConnections;

    #[test]
    fn each_of_them_can_be_read() {
        assert!(STATUS_CODE.parse::<u16>().is_ok_and(|code| (200..=599).contains(&code)));
        assert!(PORT.parse::<u16>().is_ok() && PROXY_PORT.parse::<u16>().is_ok());
        assert!(DURATION.parse::<u64>().is_ok() && PERCENT.parse::<f64>().is_ok());
        let word = serde_json::from_value::<ExistingConnections>(EXISTING_CONNECTIONS.into());
        assert_eq!(word.unwrap(), ExistingConnections::default());
    }
}
