//! Which slot of a call table an id belongs to.
//! Owns: the arithmetic of ids and slots. Must not know: what stands in a slot.

/// How many calls can be open in one direction.
pub(crate) const SLOTS: usize = 1024;
const MASK: u64 = 1023;

/// The place of an id's slot, so that the first ids use the first places: id 1 has place 0, id 1024 the last.
#[inline]
pub(super) fn place(id: u64) -> usize {
    usize::try_from(id.wrapping_sub(1) & MASK).unwrap_or(0)
}

/// The smallest id above `last` whose slot has this place. None when ids run out.
#[inline]
pub(super) fn next_id(last: u64, place: usize) -> Option<u64> {
    let place = u64::try_from(place).ok()? & MASK;
    let block = last.saturating_sub(1) & !MASK;
    let id = block.checked_add(place)?.checked_add(1)?;
    if id > last { Some(id) } else { id.checked_add(1024) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_id_is_the_smallest_one_of_its_slot() {
        for last in 0..3000_u64 {
            for at in [0, 1, 511, 1023] {
                let expected = (last + 1..).find(|id| place(*id) == at);

                assert_eq!(next_id(last, at), expected, "last {last}, place {at}");
            }
        }
    }

    #[test]
    fn ids_run_out_without_wrapping() {
        assert_eq!(next_id(u64::MAX, 0), None);
        assert_eq!(next_id(u64::MAX, 1023), None);
    }
}
