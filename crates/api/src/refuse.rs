//! How the door says no to what is not built: by the name of the member that asks for it.
//!
//! A member that asks for nothing (absent, an empty list, `false`) is honoured by doing nothing. One
//! that asks for something that does not exist here is refused, never accepted and forgotten.

use aws::Error;
use aws::ecs::ErrorKind;

/// Refuses members with one kind of error: ECS answers `ClientException` to a task definition and
/// `InvalidParameterException` elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refuse {
    kind: ErrorKind,
}

/// For requests that act.
pub(crate) const PARAMETER: Refuse = Refuse { kind: ErrorKind::InvalidParameterException };

/// For task definitions.
pub(crate) const DEFINITION: Refuse = Refuse { kind: ErrorKind::ClientException };

impl Refuse {
    /// The refusal itself.
    pub(crate) fn not_built(self, member: &str, what: &str) -> Error {
        self.kind.with(format!("{member}: {what} not built yet in Wharf; leave it out."))
    }

    /// Refuses any value. `what` is a subject with its verb: `task roles are`.
    pub(crate) fn given<T>(self, member: &str, value: Option<&T>, what: &str) -> Result<(), Error> {
        if value.is_some() { Err(self.not_built(member, what)) } else { Ok(()) }
    }

    /// Refuses a list with something in it.
    pub(crate) fn list<T>(
        self,
        member: &str,
        value: Option<&Vec<T>>,
        what: &str,
    ) -> Result<(), Error> {
        self.given(member, value.filter(|list| !list.is_empty()), what)
    }

    /// Refuses text that is not empty.
    pub(crate) fn text(
        self,
        member: &str,
        value: Option<&String>,
        what: &str,
    ) -> Result<(), Error> {
        self.given(member, value.filter(|text| !text.is_empty()), what)
    }

    /// Refuses `true`.
    pub(crate) fn flag(self, member: &str, value: Option<bool>, what: &str) -> Result<(), Error> {
        self.given(member, value.filter(|on| *on).as_ref(), what)
    }

    /// Refuses a structure in which anything is said.
    pub(crate) fn said<T: Default + PartialEq>(
        self,
        member: &str,
        value: Option<&T>,
        what: &str,
    ) -> Result<(), Error> {
        self.given(member, value.filter(|value| **value != T::default()), what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_nothing_passes() {
        assert!(PARAMETER.given::<u8>("a", None, "x is").is_ok());
        assert!(PARAMETER.list("a", Some(&Vec::<u8>::new()), "x is").is_ok());
        assert!(PARAMETER.flag("a", Some(false), "x is").is_ok());
        assert!(PARAMETER.text("a", Some(&String::new()), "x is").is_ok());
        assert!(PARAMETER.said("a", Some(&Vec::<u8>::new()), "x is").is_ok());
    }

    #[test]
    fn what_asks_is_named() {
        let error =
            PARAMETER.list("loadBalancers", Some(&vec![1]), "load balancers are").unwrap_err();
        assert_eq!(error.code, "InvalidParameterException");
        assert_eq!(
            error.message,
            "loadBalancers: load balancers are not built yet in Wharf; leave it out."
        );
        let error = DEFINITION.flag("x", Some(true), "x is").unwrap_err();
        assert_eq!(error.code, "ClientException");
    }
}
