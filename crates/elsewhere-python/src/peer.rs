//! One connection as Python sees it: what it holds of ours, what we hold of its, and who keeps its host alive.
//!
//! Owns: the Python objects behind our exports, the shared handles of our imports, the class descriptors of both
//! directions, the lease. Must not know: frames and waiting (the engine's), how a value is written (encode).
//! The reference *counts* are the protocol's; this file holds what the counts are about.
//! Long because the two tables of a connection, and all that is kept beside them, are one thing.

use std::collections::{HashMap, HashSet};

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use elsewhere_engine::{HostProcess, Link};
use elsewhere_proto::{Capabilities, ObjectId};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyType};

use crate::abilities::Abilities;
use crate::class_info::{self, ClassInfo};
use crate::connecting::Reached;
use crate::definitions::Definitions;
use crate::handing::{self, ToldEnd};
use crate::home::Showing;
use crate::ids::{IdMap, IdSet};
use crate::promise::Promises;
use crate::{coroutines, errors, home, host, local, producing, relays, service};

/// The most results of one connection that may live as proxies because they could not be copied: a guard against a loop
/// that collects them without knowing.
pub(crate) const AUTO_PROXIES_MAX: usize = 100_000;

/// Stands for the class of an object that is handed over as it is, within this process.
pub(crate) const HANDED_OVER: u32 = u32::MAX;

/// Why an object is offered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody asked for a reference, or holds one already.
    Asked,
    /// It is a result that could not be copied.
    Uncopyable,
}

/// A connection to a peer, and the tables that belong to it.
pub(crate) struct Peer {
    pub(crate) link: Arc<Link>,
    /// The process behind it, where we started it.
    pub(crate) process: Option<Arc<HostProcess>>,
    /// The far end of a local host, which whoever waits here pumps.
    pub(crate) far: OnceLock<Arc<Self>>,
    /// Of a local host that stands for a server of this process: where that is.
    pub(crate) serves_at: OnceLock<Box<str>>,
    /// The near end, at the far end of a local host.
    pub(crate) near: OnceLock<Weak<Self>>,
    /// Whether both ends are this process and hand values over as they are.
    hands_over: AtomicBool,
    /// What its interpreter can read, once it has said hello.
    abilities: OnceLock<Abilities>,
    /// Answers that later calls name before they are here.
    pub(crate) promises: Promises,
    /// Classes that came with their instances.
    pub(crate) definitions: Definitions,
    /// "host 4711", for texts.
    pub(crate) label: String,
    /// The server here that it has connected to, if it has.
    pub(crate) server: OnceLock<u64>,
    /// The server that we have connected to, if it is one.
    pub(crate) reached: OnceLock<Reached>,
    /// By class, the names of methods whose results go to it by reference; of the far end of a local host alone.
    pub(crate) returns: OnceLock<Py<PyDict>>,
    /// Where it listens, of a host of ours that does.
    pub(crate) listens: OnceLock<Box<Reached>>,
    /// Set of who has come to this host without being its owner.
    pub(crate) is_guest: OnceLock<()>,
    /// Set where both ends are hosts of one owner, by way of whom they pass references.
    pub(crate) is_sibling: OnceLock<()>,
    /// Those whose calls go straight to it, of a sibling.
    pub(crate) led_here: Mutex<Vec<Weak<Import>>>,
    /// How it ended, of a sibling that has.
    pub(crate) told_end: OnceLock<Option<Box<ToldEnd>>>,
    /// What its owner wants of it.
    pub(crate) traits: OnceLock<host::Traits>,
    /// Whether the host ends with our last handle.
    owned: bool,
    tables: Mutex<Tables>,
    lease: Mutex<Weak<Lease>>,
    /// Whether we were told to kill it.
    pub(crate) is_killed_here: AtomicBool,
    /// The object that the host was made for, if for one: it ends when that one is closed.
    only_for: OnceLock<ObjectId>,
    /// How what the host prints and logs is shown here, if it comes home.
    showing: OnceLock<Showing>,
    /// The numbers of our objects that the host, a fork of this process, has by the fork, by their `id()`.
    /// And the objects themselves: as long as they live their addresses mean them.
    inherited: OnceLock<(Py<PyDict>, Py<PyAny>)>,
    /// Of the owner of a process that is a host by a fork: what the process has by it, by the numbers that the owner sends.
    inheritance: OnceLock<Py<PyList>>,
    /// A weak reference to the one Host object of this peer.
    host_object: Mutex<Option<Py<PyAny>>>,
}

#[derive(Default)]
struct Tables {
    exported: IdMap<u64, Exported>,
    ids: IdMap<usize, u64>,
    /// Those of the exported that nobody asked for.
    auto: IdSet<u64>,
    /// By the type's address; the type is kept so that the address stays its own.
    classes: IdMap<usize, Arc<Class>>,
    described: HashMap<u32, Arc<ClassInfo>>,
    imports: HashMap<u64, Weak<Import>>,
}

/// One of our objects that the peer may name.
struct Exported {
    object: Py<PyAny>,
    class: Arc<Class>,
    /// What leads to the event loop from which it was offered: there its coroutines run.
    home: Option<Py<PyAny>>,
    /// Whether it is a stream whose items go by reference.
    gives_references: bool,
}

impl Exported {
    fn drop_ref(self, py: Python<'_>) {
        self.object.drop_ref(py);
        if let Some(home) = self.home {
            home.drop_ref(py);
        }
    }
}

/// The class of objects that we offered.
struct Class {
    id: u32,
    kind: Py<PyType>,
    info: Arc<ClassInfo>,
    /// Whether the peer has used an object of it, and so has read its description. Until then each offer brings it: the
    /// first may be read last, by another thread, or never, if nobody waits for the answer it came in.
    is_known: AtomicBool,
}

/// How one of our objects is offered to the peer.
pub(crate) struct Offer {
    pub(crate) object: ObjectId,
    pub(crate) class: u32,
    /// Set when the peer may not know the class yet.
    pub(crate) described: Option<Arc<ClassInfo>>,
}

/// Keeps an owned host alive: when the last one goes, the host finishes what it accepted and ends.
pub(crate) struct Lease {
    link: Arc<Link>,
    /// The far end of a local host.
    far: Option<Arc<Peer>>,
}

impl Drop for Lease {
    /// Runs where the last proxy went, which is always a thread that is attached to Python.
    fn drop(&mut self) {
        self.link.close();
        if let Some(far) = &self.far {
            if self.link.is_inherited() {
                return; // it belongs to the process that this one was forked from
            }
            // Nobody else will run what a local host accepted. A handle may go while an exception is on its way.
            Python::attach(|py| {
                let pending = PyErr::take(py);
                local::finish(py, &self.link, far, None);
                if let Some(pending) = pending {
                    pending.restore(py);
                }
            });
        }
    }
}

/// An object of the peer that we name. All proxies of one object share one import.
pub(crate) struct Import {
    pub(crate) peer: Arc<Peer>,
    pub(crate) object: ObjectId,
    pub(crate) class: Arc<ClassInfo>,
    /// How often the peer offered it; given back at once when the last proxy goes.
    count: AtomicU32,
    /// `hash()` of the object, asked once.
    pub(crate) hash: OnceLock<isize>,
    /// What stands for it in a process that was forked since, which has connected anew.
    pub(crate) heir: OnceLock<Arc<Self>>,
    /// Of a proxy of our owner's: how it is called, found at its first use: straight, under the number that the process
    /// where its object lives has given us, or by way of the owner.
    pub(crate) way: OnceLock<Option<Arc<Self>>>,
    /// Of what this process serves itself: what stands for it in calls of others. See [`through`](crate::through).
    pub(crate) through: OnceLock<Arc<Self>>,
    _lease: Option<Arc<Lease>>,
}

impl Import {
    /// What stands for it now.
    pub(crate) fn latest(self: &Arc<Self>) -> &Arc<Self> {
        self.heir.get().map_or(self, Self::latest)
    }

    /// What calls of it name: itself, or what the process where its object lives has given us.
    pub(crate) fn target(self: &Arc<Self>) -> &Arc<Self> {
        let straight = self.way.get().and_then(Option::as_ref);
        straight.filter(|straight| !straight.peer.link.is_inherited()).unwrap_or(self)
    }

    /// Gives the references back now; what is called through this import afterwards finds the object gone.
    pub(crate) fn give_back(&self) {
        if let Some(Some(straight)) = self.way.get() {
            straight.give_back();
        }
        self.peer.forget(self.object);
        let count = self.count.swap(0, Ordering::Relaxed); // Relaxed: a count that stands for itself
        if count > 0 {
            self.peer.link.push_release(self.object, count);
        }
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.peer.forget_import(self.object);
        // Relaxed: the last owner reads it, and dropping the Arc has ordered all additions before.
        let count = self.count.load(Ordering::Relaxed);
        if count > 0 {
            self.peer.link.push_release(self.object, count);
        }
    }
}

impl Peer {
    /// Makes the peer of `link` and enters it into the process's list.
    pub(crate) fn new(link: Arc<Link>, process: Option<Arc<HostProcess>>, label: String, owned: bool) -> Arc<Self> {
        let peer = Arc::new(Self {
            link,
            process,
            far: OnceLock::new(),
            serves_at: OnceLock::new(),
            near: OnceLock::new(),
            hands_over: AtomicBool::new(false),
            abilities: OnceLock::new(),
            promises: Promises::default(),
            definitions: Definitions::default(),
            label,
            server: OnceLock::new(),
            reached: OnceLock::new(),
            returns: OnceLock::new(),
            listens: OnceLock::new(),
            is_guest: OnceLock::new(),
            is_sibling: OnceLock::new(),
            led_here: Mutex::default(),
            told_end: OnceLock::new(),
            traits: OnceLock::new(),
            owned,
            tables: Mutex::default(),
            lease: Mutex::default(),
            is_killed_here: AtomicBool::new(false),
            only_for: OnceLock::new(),
            showing: OnceLock::new(),
            inherited: OnceLock::new(),
            inheritance: OnceLock::new(),
            host_object: Mutex::default(),
        });
        registry().insert(peer.link.id(), Arc::clone(&peer));
        peer
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease of an owned host, made anew if none lives; `None` where the host is not ours to end.
    pub(crate) fn lease(&self) -> Option<Arc<Lease>> {
        if !self.owned {
            return None;
        }
        let mut slot = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = slot.upgrade() {
            return Some(lease);
        }
        let lease = Arc::new(Lease { link: Arc::clone(&self.link), far: self.far.get().cloned() });
        *slot = Arc::downgrade(&lease);
        Some(lease)
    }

    /// Whether the peer is a host of ours.
    pub(crate) fn is_owned(&self) -> bool {
        self.owned
    }

    /// The other end of a local host.
    pub(crate) fn twin(&self) -> Option<Arc<Self>> {
        self.far.get().cloned().or_else(|| self.near.get().and_then(Weak::upgrade))
    }

    /// What its interpreter can read.
    pub(crate) fn abilities(&self, py: Python<'_>) -> Abilities {
        if let Some(known) = self.abilities.get() {
            return *known;
        }
        let Some(hello) = self.link.peer() else { return Abilities::LIKE_HERE };
        *self.abilities.get_or_init(|| Abilities::of(py, hello))
    }

    /// Whether values go to the other end, in this process, as they are.
    pub(crate) fn hands_over(&self) -> bool {
        self.hands_over.load(Ordering::Relaxed) // Relaxed: set before any value goes anywhere
    }

    /// From now on values go as they are. To be called at both ends of a new local host.
    pub(crate) fn set_hands_over(&self) {
        self.hands_over.store(true, Ordering::Relaxed); // Relaxed: as above
    }

    /// Whether the host was made for this one object.
    pub(crate) fn is_only_for(&self, object: ObjectId) -> bool {
        self.only_for.get() == Some(&object)
    }

    pub(crate) fn make_private(&self, object: ObjectId) {
        let _ = self.only_for.set(object); // a host is made once
    }

    /// Offers `object` to the peer: one more reference that the peer will give back.
    pub(crate) fn export(&self, object: &Bound<'_, PyAny>, reason: Reason) -> PyResult<Offer> {
        service::ensure_for(object.py(), self)?;
        let pointer = object.as_ptr() as usize;
        let class = self.class_of(&object.get_type())?;
        // Relaxed: whoever knows that the peer knows has it from a message, which ordered both.
        let described = (!class.is_known.load(Ordering::Relaxed)).then(|| Arc::clone(&class.info));
        let home = coroutines::current_loop(object.py())?;
        let mut tables = self.tables();
        if let Some(&known) = tables.ids.get(&pointer) {
            let object_id = ObjectId(known);
            if self.link.grant(object_id).is_ok() {
                let held = tables.exported.get_mut(&known).filter(|_| home.is_some());
                let before = held.and_then(|held| std::mem::replace(&mut held.home, home));
                drop(tables);
                drop(before);
                return Ok(Offer { object: object_id, class: class.id, described });
            }
        }
        if reason == Reason::Uncopyable && tables.auto.len() >= AUTO_PROXIES_MAX {
            drop(tables);
            return Err(errors::overloaded(object.py(), self, AUTO_PROXIES_MAX));
        }
        let object_id = self.link.export();
        if reason == Reason::Uncopyable {
            tables.auto.insert(object_id.0);
        }
        let id = class.id;
        let replaced = tables
            .exported
            .insert(object_id.0, Exported { object: object.clone().unbind(), class, home, gives_references: false });
        tables.ids.insert(pointer, object_id.0);
        drop(tables);
        drop(replaced);
        Ok(Offer { object: object_id, class: id, described })
    }

    /// Holds `object` until the other end, which is in this process, takes it as it is.
    pub(crate) fn hand_over(&self, object: &Bound<'_, PyAny>) -> PyResult<ObjectId> {
        let class = self.class_of(&object.get_type())?;
        let id = self.link.export();
        // Not among `ids`: the other end gets the object itself, and holds no reference that an answer could name.
        self.tables()
            .exported
            .insert(id.0, Exported { object: object.clone().unbind(), class, home: None, gives_references: false });
        Ok(id)
    }

    /// Takes what the other end, which is in this process, hands over under `id`.
    pub(crate) fn take_over<'py>(&self, py: Python<'py>, id: ObjectId) -> Option<Bound<'py, PyAny>> {
        let twin = self.twin()?;
        self.link.imported(id);
        if self.link.is_lost() {
            let held = twin.tables().exported.remove(&id.0); // nobody tells it any more that this was taken
            return held.map(|held| held.object.into_bound(py));
        }
        let object = twin.tables().exported.get(&id.0).map(|held| held.object.bind(py).clone());
        self.link.push_release(id, 1);
        object
    }

    /// What the peer is told of `kind`.
    fn class_of(&self, kind: &Bound<'_, PyType>) -> PyResult<Arc<Class>> {
        let pointer = kind.as_ptr() as usize;
        if let Some(class) = self.tables().classes.get(&pointer) {
            return Ok(Arc::clone(class));
        }
        let info = match class_info::prepared(kind) {
            Some(info) => info,
            None => Arc::new(ClassInfo::of(kind)?),
        };
        let mut tables = self.tables();
        let id = u32::try_from(tables.classes.len()).unwrap_or(u32::MAX);
        let fresh = || Arc::new(Class { id, kind: kind.clone().unbind(), info, is_known: AtomicBool::new(false) });
        Ok(Arc::clone(tables.classes.entry(pointer).or_insert_with(fresh)))
    }

    /// Whether `object` is held by the peer already.
    pub(crate) fn is_exported(&self, object: &Bound<'_, PyAny>) -> bool {
        let tables = self.tables();
        !tables.ids.is_empty() && tables.ids.contains_key(&(object.as_ptr() as usize))
    }

    /// The object that we offered under `id`, which the peer names.
    pub(crate) fn exported<'py>(&self, py: Python<'py>, id: ObjectId) -> Option<Bound<'py, PyAny>> {
        let tables = self.tables();
        let exported = tables.exported.get(&id.0)?;
        exported.class.is_known.store(true, Ordering::Relaxed); // Relaxed: see `export`
        Some(exported.object.bind(py).clone())
    }

    /// The same for an object that only an answer on its way to the peer names: of its class the peer may know nothing yet.
    pub(crate) fn exported_unseen<'py>(&self, py: Python<'py>, id: ObjectId) -> Option<Bound<'py, PyAny>> {
        Some(self.tables().exported.get(&id.0)?.object.bind(py).clone())
    }

    /// From now on the items of the stream that we offered under `id` go by reference.
    pub(crate) fn give_references(&self, id: ObjectId) {
        if let Some(exported) = self.tables().exported.get_mut(&id.0) {
            exported.gives_references = true;
        }
    }

    /// Whether what we offered under `id` is a stream whose items go by reference.
    pub(crate) fn gives_references(&self, id: ObjectId) -> bool {
        self.tables().exported.get(&id.0).is_some_and(|exported| exported.gives_references)
    }

    /// What leads to the event loop from which the object `id` was offered last, if it was from any.
    pub(crate) fn loop_of(&self, py: Python<'_>, id: ObjectId) -> Option<Py<PyAny>> {
        let tables = self.tables();
        tables.exported.get(&id.0)?.home.as_ref().map(|home| home.clone_ref(py))
    }

    /// Drops what the peer gave back since the last time.
    pub(crate) fn drop_released(&self, py: Python<'_>) {
        let released = self.link.take_released();
        if !released.is_empty() {
            self.drop_exported(py, released);
        }
    }

    /// Takes back references that were not sent after all.
    pub(crate) fn ungrant(&self, py: Python<'_>, granted: Vec<ObjectId>) {
        let last: Vec<_> = granted.into_iter().filter(|object| self.link.ungrant(*object)).collect();
        if !last.is_empty() {
            self.drop_exported(py, last);
        }
    }

    fn drop_exported(&self, py: Python<'_>, released: Vec<ObjectId>) {
        let mut dropped = Vec::with_capacity(released.len());
        let mut tables = self.tables();
        for object in released {
            tables.auto.remove(&object.0);
            if let Some(held) = tables.exported.remove(&object.0) {
                let pointer = held.object.as_ptr() as usize;
                if tables.ids.get(&pointer) == Some(&object.0) {
                    tables.ids.remove(&pointer);
                }
                dropped.push(held);
            }
        }
        drop(tables);
        dropped.into_iter().for_each(|held| held.drop_ref(py));
    }

    /// Takes in a reference that the peer offered.
    pub(crate) fn import(self: &Arc<Self>, object: ObjectId, class: Arc<ClassInfo>) -> Arc<Import> {
        self.link.imported(object);
        let lease = self.lease();
        let mut tables = self.tables();
        if let Some(import) = tables.imports.get(&object.0).and_then(Weak::upgrade) {
            import.count.fetch_add(1, Ordering::Relaxed); // Relaxed: see Drop
            return import;
        }
        let import = Arc::new(Import {
            peer: Arc::clone(self),
            object,
            class,
            count: AtomicU32::new(1),
            hash: OnceLock::new(),
            heir: OnceLock::new(),
            way: OnceLock::new(),
            through: OnceLock::new(),
            _lease: lease,
        });
        tables.imports.insert(object.0, Arc::downgrade(&import));
        import
    }

    /// What a path begins at that has no object to begin at: the first step says where it begins.
    pub(crate) fn nowhere(self: &Arc<Self>, name: String) -> Arc<Import> {
        let class = ClassInfo { module: String::new(), qualname: name, flags: 0, coroutines: Vec::new() };
        Arc::new(Import {
            peer: Arc::clone(self),
            object: ObjectId::BOOTSTRAP,
            class: Arc::new(class),
            count: AtomicU32::new(0),
            hash: OnceLock::new(),
            heir: OnceLock::new(),
            way: OnceLock::new(),
            through: OnceLock::new(),
            _lease: self.lease(),
        })
    }

    /// Whether a call of this thread may name an earlier one whose answer is not here: see the protocol's promises.
    pub(crate) fn takes_promises(&self) -> bool {
        let is_serial = self.link.peer().is_some_and(|hello| hello.capabilities.has(Capabilities::SERIAL));
        // What a sibling has answered may name what it has handed to the owner, which is asked for once.
        let is_near = self.far.get().is_some() || self.near.get().is_some() || self.is_sibling.get().is_some();
        is_serial && !is_near && self.owned
    }

    /// Whether it is a host of ours, our owner, or a host of that: and not a server, or somebody who came here.
    pub(crate) fn is_own(&self) -> bool {
        let is_stranger = self.server.get().is_some() || self.is_guest.get().is_some();
        !is_stranger && (self.reached.get().is_none() || self.is_sibling.get().is_some())
    }

    /// A later offer of the object begins a new import.
    fn forget(&self, object: ObjectId) {
        self.tables().imports.remove(&object.0);
    }

    fn forget_import(&self, object: ObjectId) {
        let mut tables = self.tables();
        if tables.imports.get(&object.0).is_some_and(|import| import.strong_count() == 0) {
            tables.imports.remove(&object.0);
        }
    }

    /// The class that the peer described under `id`.
    pub(crate) fn described(&self, id: u32) -> Option<Arc<ClassInfo>> {
        self.tables().described.get(&id).cloned()
    }

    /// Keeps the peer's description of class `id`.
    pub(crate) fn describe(&self, id: u32, info: ClassInfo) -> Arc<ClassInfo> {
        let info = Arc::new(info);
        self.tables().described.insert(id, Arc::clone(&info));
        info
    }

    /// The numbers of our objects that the host has by the fork that made it; None of other hosts.
    pub(crate) fn inherited<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyDict>> {
        self.inherited.get().map(|(numbers, _)| numbers.bind(py))
    }

    /// What names `object` to the host, which has it by the fork that made it.
    pub(crate) fn inherited_id(&self, object: &Bound<'_, PyAny>) -> Option<ObjectId> {
        let number = self.inherited(object.py())?.get_item(object.as_ptr() as usize).ok().flatten()?;
        number.extract().ok().map(ObjectId::inherited)
    }

    /// What this process has by the fork that made it a host of this peer, under the id by which the peer names it.
    pub(crate) fn inheritance<'py>(&self, py: Python<'py>, id: ObjectId) -> Option<Bound<'py, PyAny>> {
        let number = usize::try_from(id.inherited_number()?).ok()?;
        self.inheritance.get()?.bind(py).get_item(number).ok()
    }

    /// To be called once, on the peer of the owner.
    pub(crate) fn set_inheritance(&self, objects: &Bound<'_, PyList>) {
        if self.inheritance.set(objects.clone().unbind()).is_err() {
            unreachable!("a process is forked once");
        }
    }

    /// To be called once, on a new peer.
    pub(crate) fn set_inherited(&self, numbers: &Bound<'_, PyDict>, objects: &Bound<'_, PyAny>) {
        if self.inherited.set((numbers.clone().unbind(), objects.clone().unbind())).is_err() {
            unreachable!("the peer is new");
        }
    }

    /// How what the host prints and logs is shown here.
    pub(crate) fn showing(&self) -> Option<&Showing> {
        self.showing.get()
    }

    /// To be called once, on a new peer.
    pub(crate) fn set_showing(&self, showing: Showing) {
        if self.showing.set(showing).is_err() {
            unreachable!("the peer is new");
        }
    }

    /// The Host object of this peer: the same one as long as anybody holds it.
    pub(crate) fn host_object<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let weak =
            self.host_object.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|weak| weak.clone_ref(py));
        let Some(weak) = weak else { return Ok(None) };
        let host = weak.bind(py).call0()?;
        Ok(if host.is_none() { None } else { Some(host) })
    }

    /// Remembers the Host object, weakly.
    pub(crate) fn set_host_object(&self, host: &Bound<'_, PyAny>) -> PyResult<()> {
        let weak = host.py().import("_weakref")?.getattr("ref")?.call1((host,))?.unbind();
        let before = self.host_object.lock().unwrap_or_else(PoisonError::into_inner).replace(weak);
        drop(before);
        Ok(())
    }

    /// How many objects of each type the peer holds.
    pub(crate) fn exports_by_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let held: Vec<Py<PyAny>> = self.tables().exported.values().map(|held| held.object.clone_ref(py)).collect();
        let counts = PyDict::new(py);
        for object in held {
            let name = object.bind(py).get_type().fully_qualified_name()?;
            let count: usize = counts.get_item(&name)?.map_or(Ok(0), |count| count.extract())?;
            counts.set_item(name, count + 1)?;
        }
        Ok(counts)
    }

    /// Lets go of everything that is held for a peer that is gone; but what a local host handed over as it is stays, for
    /// answers that nobody has looked at yet.
    pub(crate) fn clear(&self, py: Python<'_>) {
        self.promises.clear(py);
        let mut tables = std::mem::take(&mut *self.tables());
        if self.hands_over() && self.near.get().is_some() {
            let offered: HashSet<u64> = tables.ids.values().copied().collect();
            let is_handed_over = |id: &u64, _: &mut Exported| !offered.contains(id);
            self.tables().exported.extend(tables.exported.extract_if(is_handed_over));
        }
        tables.exported.into_values().for_each(|held| held.drop_ref(py));
        for class in tables.classes.into_values().filter_map(Arc::into_inner) {
            class.kind.drop_ref(py);
        }
    }
}

type Registry = IdMap<u64, Arc<Peer>>;

/// The peers of this process by link. A peer stays here until its link is lost, so that calls that it accepted can
/// still come back to us after our last proxy went.
fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: OnceLock<Mutex<Registry>> = OnceLock::new();
    REGISTRY.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The peer of a link.
pub(crate) fn of_link(link: &Link) -> Option<Arc<Peer>> {
    registry().get(&link.id()).cloned()
}

/// Whether `link` is the number of a connection that was not swept yet.
pub(crate) fn is_known(link: u64) -> bool {
    registry().contains_key(&link)
}

/// All peers of this process.
pub(crate) fn all() -> Vec<Arc<Peer>> {
    registry().values().cloned().collect()
}

/// Takes peers whose link is lost out of the list, and what they held of ours with them.
pub(crate) fn sweep(py: Python<'_>) {
    let lost: Vec<Arc<Peer>> = {
        let mut registry = registry();
        let ids: Vec<u64> = registry.iter().filter(|(_, peer)| peer.link.is_lost()).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| registry.remove(&id)).collect()
    };
    for peer in lost {
        home::show_last(py, &peer);
        producing::forget_link(peer.link.id());
        relays::forget_link(peer.link.id());
        handing::forget_link(py, peer.link.id());
        peer.clear(py);
    }
}
