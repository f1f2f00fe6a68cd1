//! Where a URL of a user may lead: the guard against a server that is made to ask what only it can reach (SSRF).
//!
//! What is checked is the address that is then connected to, so a name that means another address a moment later gains nothing. No redirect is
//! followed and no proxy is asked, so what answers cannot send a request elsewhere, nor the credentials with it.
//!
//! Does not promise anything of who is reached at an address that is allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Which addresses may be connected to. Those of the link and of a cloud's metadata never may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// This machine.
    pub allow_loopback: bool,
    /// Networks that are not reached from everywhere (RFC 1918, RFC 4193, RFC 6598).
    pub allow_private: bool,
}

impl Policy {
    /// For who runs a job with his own rights: he reaches nothing through it that he could not reach without it, and most registries are in
    /// private networks. The metadata of a cloud stay refused, since they hand out what the machine may do, not its user.
    pub const OWN: Self = Self {
        allow_loopback: true,
        allow_private: true,
    };
    /// For a service that runs what others send it.
    pub const SHARED: Self = Self {
        allow_loopback: false,
        allow_private: false,
    };

    /// Refuses an address.
    ///
    /// ```
    /// use tidemill_connectors_http::guard::Policy;
    ///
    /// let metadata = "169.254.169.254".parse().unwrap();
    /// assert!(Policy::OWN.check(metadata).is_err());
    /// assert!(Policy::OWN.check("10.0.0.7".parse().unwrap()).is_ok());
    /// assert!(Policy::SHARED.check("10.0.0.7".parse().unwrap()).is_err());
    /// ```
    ///
    /// # Errors
    /// If it must not be connected to, with what it is.
    pub fn check(self, address: IpAddr) -> Result<(), Refused> {
        let refuse = |is| Err(Refused { address, is });
        match place(address) {
            Place::Never(is) => refuse(is),
            Place::Loopback if !self.allow_loopback => refuse("this machine"),
            Place::Private if !self.allow_private => refuse("a private network"),
            Place::Loopback | Place::Private | Place::Anywhere => Ok(()),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::OWN
    }
}

/// An address that a URL must not lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    address: IpAddr,
    is: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it leads to {}, which is {} and not allowed",
            self.address, self.is
        )
    }
}

impl std::error::Error for Refused {}

enum Place {
    Never(&'static str),
    Loopback,
    Private,
    Anywhere,
}

/// Addresses outside of the link's that clouds answer their metadata or their agents' questions at: Alibaba, Azure; AWS and Google by IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

fn place(address: IpAddr) -> Place {
    if METADATA.contains(&address) {
        return Place::Never("where a cloud answers with secrets of the machine");
    }
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    let [first, second, third, _] = address.octets();
    match (first, second) {
        (0, _) => Place::Never("no host"),
        (127, _) => Place::Loopback,
        (169, 254) => Place::Never("of the link, where clouds answer with secrets of the machine"),
        (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) | (198, 18..=19) => Place::Private,
        (192, 0) if third == 0 => Place::Private,
        (224..=239, _) => Place::Never("a multicast group"),
        (240..=255, _) => Place::Never("reserved"),
        _ => Place::Anywhere,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    if let Some(within) = embedded_v4(address) {
        return place(IpAddr::V4(within));
    }
    let first = address.segments()[0];
    if address.is_loopback() {
        Place::Loopback
    } else if address.is_unspecified() {
        Place::Never("no host")
    } else if address.is_multicast() {
        Place::Never("a multicast group")
    } else if first & 0xffc0 == 0xfe80 {
        Place::Never("of the link, where clouds answer with secrets of the machine")
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 {
        Place::Private
    } else {
        Place::Anywhere
    }
}

/// The address of IPv4 that one of IPv6 stands for: mapped, compatible, by NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last_two = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            Some(last_two(high, low))
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => {
            Some(last_two(high, low))
        }
        [0x2002, high, low, ..] => Some(last_two(high, low)),
        _ => None,
    }
}

/// Names to addresses that may be connected to.
#[derive(Debug)]
pub(crate) struct GuardedResolver {
    policy: Policy,
    inner: DefaultResolver,
}

impl GuardedResolver {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            inner: DefaultResolver::default(),
        }
    }
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.inner.resolve(uri, config, timeout)?;
        for address in addresses.iter() {
            self.policy
                .check(address.ip())
                .map_err(|refused| ureq::Error::Other(Box::new(refused)))?;
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::Policy;

    fn is_allowed(policy: Policy, address: &str) -> bool {
        policy.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn metadata_and_the_link_are_refused_whatever_the_policy_and_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:100.100.100.200",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(!is_allowed(Policy::OWN, address), "{address}");
            assert!(!is_allowed(Policy::SHARED, address), "{address}");
        }
    }

    #[test]
    fn this_machine_and_private_networks_are_reached_by_their_own_user_alone() {
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "::1",
            "::ffff:127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fd12:3456::1",
        ] {
            assert!(is_allowed(Policy::OWN, address), "{address}");
            assert!(!is_allowed(Policy::SHARED, address), "{address}");
        }
    }

    #[test]
    fn the_rest_of_the_world_is_reached_by_all() {
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_allowed(Policy::SHARED, address), "{address}");
        }
    }
}
