//! What a status has to be, in the words of Litmus' httpProbe.

use std::{fmt, str::FromStr};

/// A condition on a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatusCriterion {
    Equal(u16),
    NotEqual(u16),
    Greater(u16),
    Less(u16),
    AtLeast(u16),
    AtMost(u16),
    OneOf(Vec<u16>),
    /// Both ends belong to it.
    Between(u16, u16),
}

const ALLOWED: &str =
    "== != > < >= or <= with a status, 'oneOf 200,204' or 'between 200,299'; a status alone is ==";

impl StatusCriterion {
    pub(crate) fn holds(&self, status: u16) -> bool {
        match self {
            Self::Equal(wanted) => status == *wanted,
            Self::NotEqual(wanted) => status != *wanted,
            Self::Greater(than) => status > *than,
            Self::Less(than) => status < *than,
            Self::AtLeast(least) => status >= *least,
            Self::AtMost(most) => status <= *most,
            Self::OneOf(wanted) => wanted.contains(&status),
            Self::Between(least, most) => (least..=most).contains(&&status),
        }
    }
}

impl FromStr for StatusCriterion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let words = ["==", "!=", ">=", "<=", ">", "<", "oneOf", "between"];
        let word = words.into_iter().find(|word| text.starts_with(word)).unwrap_or_default();
        let rest = text.strip_prefix(word).unwrap_or(text).trim();
        let numbers = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest);
        let number = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
        let numbers: Option<Vec<u16>> = numbers.split(',').map(number).collect();
        match (word, numbers.ok_or(ALLOWED)?.as_slice()) {
            ("==" | "", [one]) => Ok(Self::Equal(*one)),
            ("!=", [one]) => Ok(Self::NotEqual(*one)),
            (">", [one]) => Ok(Self::Greater(*one)),
            ("<", [one]) => Ok(Self::Less(*one)),
            (">=", [one]) => Ok(Self::AtLeast(*one)),
            ("<=", [one]) => Ok(Self::AtMost(*one)),
            ("oneOf", some) => Ok(Self::OneOf(some.to_vec())),
            ("between", [least, most]) if least <= most => Ok(Self::Between(*least, *most)),
            _ => Err(ALLOWED),
        }
    }
}

impl fmt::Display for StatusCriterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(status) => write!(f, "== {status}"),
            Self::NotEqual(status) => write!(f, "!= {status}"),
            Self::Greater(status) => write!(f, "> {status}"),
            Self::Less(status) => write!(f, "< {status}"),
            Self::AtLeast(status) => write!(f, ">= {status}"),
            Self::AtMost(status) => write!(f, "<= {status}"),
            Self::OneOf(some) => {
                let some: Vec<String> = some.iter().map(u16::to_string).collect();
                write!(f, "oneOf {}", some.join(","))
            }
            Self::Between(least, most) => write!(f, "between {least},{most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StatusCriterion;

    #[test]
    fn every_criterion_is_read_shown_and_judged() {
        for (text, shown, inside, outside) in [
            ("200", "== 200", 200, 201),
            ("==200", "== 200", 200, 503),
            ("!= 503", "!= 503", 200, 503),
            ("> 199", "> 199", 200, 199),
            ("<500", "< 500", 499, 500),
            (">= 200", ">= 200", 200, 199),
            ("<= 399", "<= 399", 399, 400),
            ("oneOf [200, 204]", "oneOf 200,204", 204, 203),
            ("between 200,299", "between 200,299", 299, 300),
            (" between[200,200] ", "between 200,200", 200, 199),
        ] {
            let criterion: StatusCriterion = text.parse().unwrap();
            assert_eq!(criterion.to_string(), shown);
            assert!(criterion.holds(inside) && !criterion.holds(outside), "{text}");
        }
        for wrong in
            ["", "==", "== 99", "600", "between 200", "between 300,200", "== 200,201", "~ 200", "oneOf", "ok"]
        {
            assert!(wrong.parse::<StatusCriterion>().is_err(), "{wrong}");
        }
    }
}
