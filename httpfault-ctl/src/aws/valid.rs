//! Calls for many hosts of which some are no longer there. Systems Manager answers with InvalidInstanceId for the whole
//! call, and does not always say which hosts it means.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ApiError;
use crate::fleet::InstanceId;

/// Hosts for which Systems Manager takes no command, with its words.
pub(crate) type Gone = BTreeMap<InstanceId, String>;

/// Makes a call for all hosts, and again without those that it can't be made for.
pub(super) async fn for_valid<T>(
    hosts: &[InstanceId],
    mut call: impl AsyncFnMut(&[InstanceId]) -> Result<T, ApiError>,
) -> Result<(Vec<T>, Gone), ApiError> {
    let mut todo = vec![hosts.to_vec()];
    let (mut done, mut gone) = (Vec::new(), Gone::new());
    while let Some(mut some) = todo.pop() {
        let error = match call(&some).await {
            Ok(value) => {
                done.push(value);
                continue;
            }
            Err(error) => error,
        };
        let Some(message) = error.invalid_instances() else { return Err(error) };
        let named = named(message, &some);
        let why = format!("Systems Manager takes no command for it ({message})");
        if some.len() == 1 {
            gone.extend(some.pop().map(|host| (host, why)));
        } else if named.is_empty() || named.len() == some.len() {
            // It names none, or all: the ones that are meant are found by halves.
            let other = some.split_off(some.len() / 2);
            todo.extend([other, some]);
        } else {
            some.retain(|host| !named.contains(host));
            todo.push(some);
            gone.extend(named.into_iter().map(|host| (host, why.clone())));
        }
    }
    Ok((done, gone))
}

fn named(message: &str, hosts: &[InstanceId]) -> BTreeSet<InstanceId> {
    let words: BTreeSet<&str> = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    hosts.iter().filter(|host| words.contains(host.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: usize) -> InstanceId {
        InstanceId::new(&format!("i-{number:017}")).unwrap()
    }

    /// Which hosts are told, and how many calls it takes, when `bad` are not valid.
    fn told(bad: &[usize], names: impl Fn(&[InstanceId]) -> String) -> (BTreeSet<InstanceId>, usize, Gone) {
        let hosts: Vec<InstanceId> = (0..50).map(host).collect();
        let bad: Vec<InstanceId> = bad.iter().copied().map(host).collect();
        let mut calls = 0;
        let call = async |some: &[InstanceId]| {
            calls += 1;
            let here: Vec<InstanceId> = some.iter().filter(|host| bad.contains(host)).cloned().collect();
            if here.is_empty() {
                return Ok(some.to_vec());
            }
            let (code, message) = ("InvalidInstanceId".to_owned(), names(&here));
            Err(ApiError::Service { action: "ssm:SendCommand", code, message, status: 400 })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (done, gone) = runtime.block_on(for_valid(&hosts, call)).unwrap();
        (done.into_iter().flatten().collect(), calls, gone)
    }

    #[test]
    fn hosts_that_are_named_are_dropped_and_the_others_told() {
        let (told, calls, gone) =
            told(&[3, 7], |here| format!("Instances [[{}, {}]] are not valid", here[0], here[1]));
        assert_eq!((told.len(), calls, gone.len()), (48, 2, 2));
    }

    #[test]
    fn hosts_that_nobody_names_are_found_by_halves() {
        let (told, calls, gone) = told(&[3, 49], |_| "one of them".to_owned());
        assert_eq!((told.len(), gone.len()), (48, 2));
        assert!(told.is_disjoint(&gone.keys().cloned().collect()));
        assert!(calls < 30, "{calls} calls");
    }

    #[test]
    fn one_after_the_other_may_be_named() {
        let (told, calls, gone) = told(&[1, 2, 3], |here| format!("{} is not valid", here[0]));
        assert_eq!((told.len(), calls, gone.len()), (47, 4, 3));
    }
}
