//! Units and sets of them that the grammar has names for.

use super::UnitSet;

pub(super) fn ascii(unit: u16) -> Option<char> {
    u8::try_from(unit).ok().filter(u8::is_ascii).map(char::from)
}

pub(super) fn single(set: &UnitSet) -> Option<u16> {
    match set.ranges[..] {
        [(low, high)] if low == high => Some(low),
        _ => None,
    }
}

pub(super) fn line_terminators() -> UnitSet {
    UnitSet::new(vec![(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)])
}

/// Whether a unit is one of `\w`.
pub(super) fn is_word(unit: u16) -> bool {
    ascii(unit).is_some_and(|c| c == '_' || c.is_ascii_alphanumeric())
}

fn word() -> UnitSet {
    let ranges = [(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')];
    UnitSet::new(ranges.map(|(low, high)| (u16::from(low), u16::from(high))).to_vec())
}

pub(super) fn class_escape(c: char) -> Option<UnitSet> {
    let digits = || UnitSet::new(vec![(u16::from(b'0'), u16::from(b'9'))]);
    let space = || {
        let units = (0..=u16::MAX).filter(|&unit| {
            char::from_u32(u32::from(unit)).is_some_and(crate::json::js::is_white_space)
        });
        UnitSet::new(units.map(|unit| (unit, unit)).collect())
    };
    Some(match c {
        'd' => digits(),
        'D' => digits().complement(),
        's' => space(),
        'S' => space().complement(),
        'w' => word(),
        'W' => word().complement(),
        _ => return None,
    })
}
