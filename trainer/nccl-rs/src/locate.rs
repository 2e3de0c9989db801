//! Finding rank 0, and the address under which the others find this machine.

use crate::error::Error;
use std::env;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Between two attempts: short enough for a start on one node, long enough to spare a name server.
const PAUSE: Duration = Duration::from_millis(250);

/// Where gloo's connections end on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Address(IpAddr),
    Interface(String),
}

impl Endpoint {
    /// What `GLOO_SOCKET_IFNAME` names, or the address that this machine puts on packets to `host`.
    pub(crate) fn towards(host: SocketAddr) -> io::Result<Self> {
        match env::var("GLOO_SOCKET_IFNAME") {
            Ok(interface) if !interface.is_empty() => Ok(Self::Interface(interface)),
            _ => source_address(host.ip()).map(Self::Address),
        }
    }
}

/// Connecting a datagram socket sends nothing, but picks the route.
fn source_address(host: IpAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((unspecified(host), 0))?;
    socket.connect((host, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn retry<T>(deadline: Instant, mut attempt: impl FnMut(Duration) -> io::Result<T>) -> io::Result<T> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match attempt(left) {
            Err(_) if !left.is_zero() => thread::sleep(PAUSE.min(left)),
            result => return result,
        }
    }
}

fn lookup_once(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port).to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))
}

/// Looks `host` up until it is found: in a cluster a name may appear only after its pod has started.
pub(crate) fn lookup(host: &str, port: u16, deadline: Instant) -> Result<SocketAddr, Error> {
    let start = Instant::now();
    retry(deadline, |_| lookup_once(host, port)).map_err(|source| Error::Lookup {
        host: host.to_owned(),
        waited: start.elapsed(),
        source,
    })
}

/// Waits until `host` (looked up anew each time, since it may move) accepts connections.
pub(crate) fn reach(host: &str, port: u16, deadline: Instant) -> io::Result<SocketAddr> {
    retry(deadline, |left| {
        let address = lookup_once(host, port)?;
        TcpStream::connect_timeout(&address, left.clamp(PAUSE, Duration::from_secs(5)))?;
        Ok(address)
    })
}

/// Binds rank 0's port: on loopback only where the others are on this machine, on all addresses otherwise (the host's name may
/// stand for an address that is not this machine's own, such as a service's).
pub(crate) fn listen(host: SocketAddr) -> Result<TcpListener, Error> {
    let ip = if host.ip().is_loopback() { host.ip() } else { unspecified(host.ip()) };
    let address = SocketAddr::new(ip, host.port());
    TcpListener::bind(address).map_err(|source| Error::Listen { address, source })
}

/// How rank 0 reaches its own server, whatever its name stands for.
pub(crate) fn served_at(listener: &TcpListener) -> io::Result<SocketAddr> {
    let local = listener.local_addr()?;
    let ip = match local.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    Ok(SocketAddr::new(ip, local.port()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_address_is_looked_up_until_the_time_is_up() {
        let start = Instant::now();
        let error = lookup("no-such-host.invalid", 1, start + Duration::from_millis(600)).unwrap_err();
        assert!(matches!(&error, Error::Lookup { host, .. } if host == "no-such-host.invalid"), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(600));
    }

    #[test]
    fn a_server_that_comes_later_is_reached() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = thread::spawn(move || {
            thread::sleep(Duration::from_millis(400));
            let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            listener.accept().unwrap();
        });
        assert_eq!(reach("127.0.0.1", port, Instant::now() + Duration::from_secs(10)).unwrap().port(), port);
        server.join().unwrap();
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        assert!(source_address(Ipv4Addr::LOCALHOST.into()).unwrap().is_loopback());
    }

    #[test]
    fn a_server_on_all_addresses_is_its_own_client_over_loopback() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let at = served_at(&listener).unwrap();
        assert_eq!((at.ip(), at.port()), (Ipv4Addr::LOCALHOST.into(), listener.local_addr().unwrap().port()));
    }
}
