//! Objects of this side that the peer may name.
//! Owns: their ids and how many references the peer holds. Must not know: the objects.
//!
//! An id is a place in the table with the number of its use, so that it is found without hashing and never used again.

use crate::ids::ObjectId;
use crate::violation::{UnknownExport, Violation};

#[derive(Debug)]
struct Export {
    /// How often this place was used before.
    generation: u32,
    /// References that the peer holds or that are on their way.
    count: u32,
    /// Releases of the last reference that wait for calls which came before them. 0, and no count: the place is free.
    parting: u32,
}

impl Export {
    fn is_used(&self) -> bool {
        self.count > 0 || self.parting > 0
    }
}

#[derive(Debug, Default)]
pub(super) struct Exports {
    places: Vec<Export>,
    free: Vec<u32>,
    /// How many places are used: asked for with each message, and there may be many.
    used: usize,
}

/// Place 0 of generation 0 would be the bootstrap object.
const FIRST: u32 = 1;

impl Exports {
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// A new id with one reference.
    pub(super) fn insert(&mut self) -> ObjectId {
        self.used = self.used.saturating_add(1);
        if let Some(at) = self.free.pop()
            && let Some(export) = self.get_place(at)
        {
            export.count = 1;
            return join(export.generation, at);
        }
        let at = u32::try_from(self.places.len()).unwrap_or(u32::MAX).saturating_add(FIRST);
        self.places.push(Export { generation: 0, count: 1, parting: 0 });
        join(0, at)
    }

    fn get_place(&mut self, at: u32) -> Option<&mut Export> {
        self.places.get_mut(usize::try_from(at.checked_sub(FIRST)?).ok()?)
    }

    fn get(&mut self, object: ObjectId) -> Option<&mut Export> {
        let (generation, at) = split(object);
        self.get_place(at).filter(|export| export.generation == generation && export.is_used())
    }

    pub(super) fn contains(&self, object: ObjectId) -> bool {
        let (generation, at) = split(object);
        let at = at.checked_sub(FIRST).and_then(|at| usize::try_from(at).ok());
        let export = at.and_then(|at| self.places.get(at));
        export.is_some_and(|export| export.generation == generation && export.is_used())
    }

    /// One reference more is about to be sent.
    ///
    /// # Errors
    /// [`UnknownExport`] if the peer let go of the last one meanwhile.
    pub(super) fn grant(&mut self, object: ObjectId) -> Result<(), UnknownExport> {
        let export = self.get(object).ok_or(UnknownExport { object })?;
        export.count = export.count.checked_add(1).ok_or(UnknownExport { object })?;
        Ok(())
    }

    /// Takes references back; true if they were the last. Then the object stays until [`part`](Self::part).
    ///
    /// # Errors
    /// [`Violation::UnknownObject`] if there are fewer.
    pub(super) fn release(&mut self, object: ObjectId, count: u32) -> Result<bool, Violation> {
        let unknown = Violation::UnknownObject { object };
        let Some(export) = self.get(object) else { return Err(unknown) };
        export.count = export.count.checked_sub(count).ok_or(unknown)?;
        let is_last = export.count == 0;
        export.parting = export.parting.saturating_add(u32::from(is_last));
        Ok(is_last)
    }

    /// The release of a last reference takes effect; true if the object is gone by it, and was not granted anew.
    pub(super) fn part(&mut self, object: ObjectId) -> bool {
        let Some(export) = self.get(object) else { return false };
        export.parting = export.parting.saturating_sub(1);
        let is_gone = !export.is_used();
        if is_gone {
            self.used = self.used.saturating_sub(1);
            self.vacate(object);
        }
        is_gone
    }

    /// A place whose uses ran out is not used again.
    fn vacate(&mut self, object: ObjectId) {
        let (generation, at) = split(object);
        let Some(next) = generation.checked_add(1) else { return };
        let Some(export) = self.get_place(at) else { return };
        debug_assert!(!export.is_used(), "object {object} is still held");
        export.generation = next;
        self.free.push(at);
    }

    /// The connection is over: gives every object that the peer held.
    pub(super) fn drain(&mut self) -> Vec<ObjectId> {
        let places = std::mem::take(&mut self.places).into_iter().zip(FIRST..);
        self.free.clear();
        self.used = 0;
        places.filter(|(export, _)| export.is_used()).map(|(export, at)| join(export.generation, at)).collect()
    }
}

fn join(generation: u32, at: u32) -> ObjectId {
    ObjectId(u64::from(generation) << 32 | u64::from(at))
}

fn split(object: ObjectId) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = object.0.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_never_used_again() {
        let mut exports = Exports::default();
        let first = exports.insert();
        assert_eq!(exports.release(first, 1), Ok(true));
        assert!(exports.part(first));

        let second = exports.insert();

        assert_ne!(first, second);
        assert!(!exports.contains(first));
        assert!(exports.contains(second));
        assert_eq!(exports.grant(first), Err(UnknownExport { object: first }));
    }

    #[test]
    fn object_lives_until_its_last_reference_is_released() {
        let mut exports = Exports::default();
        let object = exports.insert();
        exports.grant(object).unwrap();

        assert_eq!(exports.release(object, 1), Ok(false));
        assert_eq!(exports.release(object, 2), Err(Violation::UnknownObject { object }));
        assert_eq!(exports.release(object, 1), Ok(true));
        assert!(exports.part(object));
        assert_eq!(exports.len(), 0);
    }

    #[test]
    fn object_granted_anew_while_it_parts_stays() {
        let mut exports = Exports::default();
        let object = exports.insert();
        assert_eq!(exports.release(object, 1), Ok(true));
        exports.grant(object).unwrap();
        assert_eq!(exports.release(object, 1), Ok(true));

        assert!(!exports.part(object), "the second release still waits");
        assert!(exports.contains(object));
        assert!(exports.part(object));
    }

    #[test]
    fn what_is_held_is_counted() {
        let mut exports = Exports::default();
        let objects: Vec<_> = (0..10).map(|_| exports.insert()).collect();
        exports.grant(objects[0]).unwrap();
        for object in &objects[..7] {
            exports.release(*object, 1).unwrap();
            exports.part(*object);
        }
        exports.release(objects[7], 1).unwrap(); // and has not parted
        exports.insert();

        let held = exports.places.iter().filter(|export| export.is_used()).count();

        assert_eq!((exports.len(), held), (5, 5));
    }

    #[test]
    fn bootstrap_object_and_strange_ids_are_unknown() {
        let mut exports = Exports::default();
        exports.insert();

        for id in [0, 2, u64::MAX, 1 << 32] {
            assert!(!exports.contains(ObjectId(id)));
            assert!(exports.release(ObjectId(id), 1).is_err());
        }
    }

    #[test]
    fn drain_gives_what_was_held() {
        let mut exports = Exports::default();
        let (a, b) = (exports.insert(), exports.insert());
        exports.release(a, 1).unwrap();
        exports.part(a);

        assert_eq!(exports.drain(), [b]);
        assert_eq!(exports.len(), 0);
    }
}
