//! The hooks around a fork. The fork itself is not made here: it is not for safe code; what the hooks do to the engine is
//! the same without it, with this process in the part of the child.

mod support;

use std::collections::BTreeSet;

use elsewhere_engine::transport::Transport;
use elsewhere_engine::{Arrival, SubmitError, fork};

use support::*;

/// One test, because the hooks concern the whole process.
#[test]
fn parent_goes_on_and_child_uses_nothing_it_inherited() {
    let _watchdog = Watchdog::new("parent_goes_on_and_child_uses_nothing_it_inherited");
    let (near, far) = links(Transport::unix_pair);
    let peer = serve_echo(far);
    assert_eq!(echo(&near, b"before"), b"before");
    wait_for_watch_threads(1);

    fork::prepare();
    wait_for_watch_threads(0);
    fork::parent();
    wait_for_watch_threads(1);
    assert_eq!(echo(&near, b"in the parent"), b"in the parent");

    near.close();
    peer.join().unwrap();
    let (near, far) = links(Transport::unix_pair);
    let sockets: BTreeSet<_> = near.fds().into_iter().chain(far.fds()).collect();

    let pending = Call::new(b"of the parent").submit(&near);
    fork::prepare();
    let inherited: BTreeSet<_> = fork::child().into_iter().collect();

    assert!(sockets.is_subset(&inherited));
    assert!(near.is_inherited());
    assert!(matches!(Call::new(b"?").try_submit(&near), Err(SubmitError::Forked)));
    assert!(matches!(arrival(&near, &pending), Arrival::Lost { .. }));
    near.close();
    near.abandon();
    let (near, far) = links(Transport::unix_pair);
    let peer = serve_echo(far);
    assert_eq!(echo(&near, b"anew in the child"), b"anew in the child");
    near.close();
    peer.join().unwrap();
}
