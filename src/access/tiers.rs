//! Tiers against the built-in role names of external mode (access.md section 7.1).

use crate::config::CustomRoleTier;
use crate::protocol::Tier;

/// The tier that a role name stands for; custom roles stand for none.
pub fn builtin_role(role: &str) -> Option<Tier> {
    match role {
        "reader" => Some(Tier::Read),
        "writer" => Some(Tier::Write),
        "admin" => Some(Tier::Admin),
        _ => None,
    }
}

/// The highest tier that these roles may use; `None`: not even `read`.
pub fn highest_tier(roles: &[Box<str>], custom: CustomRoleTier) -> Option<Tier> {
    let builtin = roles.iter().filter_map(|role| builtin_role(role)).max();
    builtin.or(match custom {
        CustomRoleTier::None => None,
        CustomRoleTier::Read => Some(Tier::Read),
        CustomRoleTier::Write => Some(Tier::Write),
        CustomRoleTier::Admin => Some(Tier::Admin),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn highest(roles: &[&str], custom: CustomRoleTier) -> Option<Tier> {
        let roles: Vec<Box<str>> = roles.iter().map(|role| (*role).into()).collect();
        highest_tier(&roles, custom)
    }

    #[test]
    fn the_highest_built_in_role_counts() {
        let custom = CustomRoleTier::Admin;
        assert_eq!(highest(&["reader", "writer"], custom), Some(Tier::Write));
        assert_eq!(highest(&["admin", "reader"], custom), Some(Tier::Admin));
        // One built-in name switches tiers on, whatever else there is.
        assert_eq!(highest(&["reader", "billing", "superadmin"], custom), Some(Tier::Read));
        assert_eq!(highest(&["Reader"], CustomRoleTier::None), None);
    }

    #[test]
    fn sessions_without_a_built_in_role_have_the_configured_tier() {
        for roles in [&[][..], &["superadmin"], &["billing"]] {
            assert_eq!(highest(roles, CustomRoleTier::Admin), Some(Tier::Admin));
            assert_eq!(highest(roles, CustomRoleTier::Write), Some(Tier::Write));
            assert_eq!(highest(roles, CustomRoleTier::Read), Some(Tier::Read));
            assert_eq!(highest(roles, CustomRoleTier::None), None);
        }
    }
}
