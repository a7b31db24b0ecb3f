//! The sizes that segments come in, so that one of them serves many messages.
//! Owns: the rounding. Must not know: segments.

/// From so many bytes on a segment is hardly ever used again, and each part that is wasted is much.
const HUGE: usize = 1 << 28;

/// Bytes of the smallest segment for `bytes` bytes: whole pages, eight sizes for each doubling, so that at most an eighth
/// is waste beside what rounding to pages costs; of huge ones a sixteenth. None beyond what a mapping can have.
#[must_use]
pub fn class_of(bytes: usize) -> Option<usize> {
    let page = rustix::param::page_size();
    let pages = bytes.max(1).div_ceil(page);
    let step = 1_usize << pages.ilog2().saturating_sub(if bytes < HUGE { 3 } else { 4 });
    let class = pages.checked_next_multiple_of(step)?.checked_mul(page)?;
    isize::try_from(class).is_ok().then_some(class)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn classes_are_whole_pages_with_little_waste() {
        let mut classes = std::collections::BTreeSet::new();
        for bytes in (1..200).map(|pages| pages * 4096).chain((16..40).flat_map(|power| {
            let bytes = 1_usize << power;
            [bytes - 1, bytes, bytes + 1, bytes / 5 * 7]
        })) {
            let class = class_of(bytes).unwrap();

            assert!(class.is_multiple_of(4096) && class >= bytes);
            assert!(class - bytes.next_multiple_of(4096) <= class / 8, "{bytes} in {class}");
            assert_eq!(class_of(class), Some(class));
            classes.insert(class);
        }
        assert!(classes.iter().filter(|class| (1 << 20..1 << 21).contains(*class)).count() <= 8);
    }

    #[test]
    fn extremes_have_a_class_or_none() {
        assert_eq!(class_of(0), Some(4096));
        assert_eq!(class_of(65536), Some(65536));
        assert_eq!(class_of(usize::MAX), None);
        assert_eq!(class_of(isize::MAX as usize), None);
    }
}
