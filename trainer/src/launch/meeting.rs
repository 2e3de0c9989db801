//! Where the workers of a run meet: a socket that is bound before any worker starts, or the address of the machine that has it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::error::LaunchError;
use super::settings::Meeting;

/// How long the name of machine 0 may stay unknown: its pod may start later than ours, and a name server may remember for a while that
/// there was no such name.
const RESOLVE_FOR: Duration = Duration::from_mins(5);
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);

/// A place to meet.
#[derive(Debug)]
pub(super) struct Place {
    /// Address of the store, as the workers of this machine reach it.
    pub(super) address: SocketAddr,
    /// The socket that rank 0 serves the store on, where rank 0 is on this machine.
    pub(super) listener: Option<TcpListener>,
}

/// Binds or finds the place. A search ends early when `give_up` says so.
///
/// # Errors
/// [`LaunchError::Listen`] or [`LaunchError::Resolve`].
pub(super) fn arrange(meeting: &Meeting, give_up: impl FnMut() -> bool) -> Result<Place, LaunchError> {
    match meeting {
        Meeting::Loopback { port } => {
            let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
            let listener = TcpListener::bind(wanted).map_err(|e| listen(wanted, e))?;
            place(listener, wanted)
        }
        Meeting::Leader { port } => {
            let wanted = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
            let listener = match TcpListener::bind(wanted) {
                Err(e) if e.kind() == io::ErrorKind::AddrInUse || e.kind() == io::ErrorKind::PermissionDenied => Err(e),
                Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)), // a machine without IPv6
                bound => bound,
            };
            place(listener.map_err(|e| listen(wanted, e))?, wanted)
        }
        Meeting::Follower { host, port } => {
            Ok(Place { address: resolve(host, *port, (RESOLVE_FOR, RESOLVE_AGAIN), give_up)?, listener: None })
        }
    }
}

fn place(listener: TcpListener, wanted: SocketAddr) -> Result<Place, LaunchError> {
    let port = listener.local_addr().map_err(|e| listen(wanted, e))?.port();
    Ok(Place { address: (Ipv4Addr::LOCALHOST, port).into(), listener: Some(listener) })
}

fn listen(address: SocketAddr, source: io::Error) -> LaunchError {
    LaunchError::Listen { address: address.to_string(), source }
}

fn resolve(
    host: &str,
    port: u16,
    (patience, again): (Duration, Duration),
    mut give_up: impl FnMut() -> bool,
) -> Result<SocketAddr, LaunchError> {
    let until = Instant::now() + patience;
    loop {
        let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
        let found = (host, port).to_socket_addrs().and_then(|mut found| found.next().ok_or_else(none));
        match found {
            Ok(address) => return Ok(address),
            Err(source) if Instant::now() + again >= until || give_up() => {
                return Err(LaunchError::Resolve { host: host.to_owned(), seconds: patience.as_secs(), source });
            }
            Err(_) => std::thread::sleep(again),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use mixbench_crds::exit::Exit;

    #[test]
    fn two_runs_on_one_machine_never_race_for_a_port() {
        let meeting = Meeting::Loopback { port: None };
        let (a, b) = (arrange(&meeting, || false).unwrap(), arrange(&meeting, || false).unwrap());
        assert_ne!(a.address, b.address);
        assert!(a.address.ip().is_loopback());
    }

    #[test]
    fn an_occupied_port_is_named_with_its_remedy() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        for meeting in [Meeting::Loopback { port: Some(port) }, Meeting::Leader { port }] {
            let error = arrange(&meeting, || false).unwrap_err();
            assert_eq!(error.exit(), Exit::Collective);
            let text = error.to_string();
            assert!(text.contains(&port.to_string()) && text.contains("--master-port"), "{text}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_an_error_in_the_end() {
        let times = (Duration::from_millis(30), Duration::from_millis(10));
        let error = resolve("no..such..host", 1, times, || false).unwrap_err();
        assert!(error.to_string().contains("no..such..host"), "{error}");
        assert_eq!(resolve("127.0.0.1", 9, times, || false).unwrap().port(), 9);
    }
}
