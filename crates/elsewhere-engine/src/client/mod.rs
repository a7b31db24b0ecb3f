//! Hosts and objects for Rust programs: a Python object in another process, used without Python in this one.
//!
//! Owns: the words of the Rust API and its plain values. Must not know: how a link waits, how a process ends.
//!
//! ```no_run
//! use elsewhere_engine::client::{Host, Value};
//!
//! # fn main() -> Result<(), elsewhere_engine::client::Error> {
//! let host = Host::start("python3")?;
//! let words = host.construct("collections:Counter", &[])?;
//! words.call("update", &[Value::List(vec!["a".into(), "b".into(), "a".into()])])?;
//! assert_eq!(words.call("total", &[])?, Value::Int(3));
//! for word in words.stream("elements", &[])? {
//!     println!("{:?}", word?);
//! }
//! # Ok(())
//! # }
//! ```

mod call;
mod error;
mod object;
mod stream;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use elsewhere_proto::{Config, ObjectId, Want};

use crate::inbox::Inbox;
use crate::process::{HostCommand, HostProcess};
use call::{Connected, Path};

pub use elsewhere_proto::codec::Value;
pub use error::Error;
pub use object::Object;
pub use stream::Stream;

/// A Python process that holds objects of ours. It ends when the handle and all its objects are dropped.
#[derive(Clone, Debug)]
pub struct Host {
    connected: Arc<Connected>,
}

impl Host {
    /// Starts a host in the interpreter `python`, in which the package `elsewhere` must be installed.
    ///
    /// # Errors
    /// [`Error::Start`], with what the interpreter wrote to stderr.
    pub fn start(python: impl Into<OsString>) -> Result<Self, Error> {
        let mut command = HostCommand::new(python);
        command.arguments = ["-m", "elsewhere._host_main"].map(OsString::from).to_vec();
        Self::start_command(&command)
    }

    /// Starts a host by a command of your own.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn start_command(command: &HostCommand) -> Result<Self, Error> {
        let mut config = Config::default();
        config.hello.pid = std::process::id();
        config.hello.implementation = concat!("elsewhere-engine ", env!("CARGO_PKG_VERSION")).to_owned();
        let host = Self { connected: Arc::new(Connected::new(command.spawn(Inbox::new(), config)?)) };
        let nothing_special = [Value::Map(Vec::new())];
        host.bootstrap("configure", &nothing_special, &[], Want::Value)?;
        Ok(host)
    }

    /// Constructs an object of the class, or by the function, that `path` names as `module:qualified.name`.
    ///
    /// # Errors
    /// [`Error`]; what the constructor raises is [`Error::Raised`].
    pub fn construct(&self, path: &str, arguments: &[Value]) -> Result<Object, Error> {
        self.construct_with(path, arguments, &[])
    }

    /// Constructs an object with keyword arguments too.
    ///
    /// # Errors
    /// As [`construct`](Self::construct).
    pub fn construct_with(&self, path: &str, arguments: &[Value], keywords: &[(&str, Value)]) -> Result<Object, Error> {
        let arguments = [path.into(), Value::List(arguments.to_vec()), call::map(keywords)];
        let body = self.bootstrap("construct_named", &arguments, &[], Want::Reference)?;
        Object::from_reply(&self.connected, &body)
    }

    fn bootstrap(
        &self,
        method: &str,
        arguments: &[Value],
        keywords: &[(&str, Value)],
        want: Want,
    ) -> Result<Vec<u8>, Error> {
        let path = Path::new(ObjectId::BOOTSTRAP).attribute(method).call(arguments, keywords);
        self.connected.answer(&path, want)
    }

    /// The process behind it.
    #[must_use]
    pub fn process(&self) -> &HostProcess {
        &self.connected.process
    }

    /// Ends it whatever objects exist: it finishes what it accepted, gets SIGTERM after `grace` and SIGKILL a second
    /// later. Returns whether it has ended, which only a signal to this process can prevent.
    pub fn close(&self, grace: Duration) -> bool {
        self.process().close(grace)
    }
}
