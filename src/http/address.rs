use actix_web::dev::RequestHead;
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Whose requests are counted together: an IPv4 address, or the /64 that one
/// IPv6 customer usually has to himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub IpAddr);

impl Address {
    /// The address a request came from: its peer, or, if that is a trusted
    /// proxy, the rightmost `X-Forwarded-For` entry that is none. What stands
    /// further left was written by the client and proves nothing.
    pub fn of(head: &RequestHead, trusted: &TrustedProxies) -> Address {
        let unknown = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let mut address = head.peer_addr.map_or(unknown, |peer| peer.ip().to_canonical());
        let mut hops: Vec<&str> = Vec::new();
        for line in head.headers.get_all("x-forwarded-for") {
            hops.extend(line.to_str().unwrap_or_default().split(',').map(str::trim));
        }
        while trusted.contains(address) {
            let Some(Ok(hop)) = hops.pop().map(str::parse::<IpAddr>) else { break };
            address = hop.to_canonical();
        }
        Address(address)
    }

    /// The key it is counted under.
    pub fn key(self) -> u128 {
        match self.0 {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits() >> 64 << 64 | 1 << 63,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<(IpAddr, u32)>);

impl TrustedProxies {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(network, prefix)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - prefix;
                network.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - prefix;
                network.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            _ => false,
        })
    }
}

impl<'de> Deserialize<'de> for TrustedProxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TrustedProxies, D::Error> {
        let parse = |text: &String| {
            let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
            let address: IpAddr = address.trim().parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let prefix = if prefix.is_empty() { most } else { prefix.trim().parse().ok()? };
            (prefix <= most).then_some((address, prefix))
        };
        let texts = Vec::<String>::deserialize(deserializer)?;
        let wrong = |text| serde::de::Error::custom(format!("`{text}` is no address or network"));
        let parsed = texts.iter().map(|text| parse(text).ok_or_else(|| wrong(text)));
        parsed.collect::<Result<_, _>>().map(TrustedProxies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn address(peer: &str, forwarded: &str, trusted: &[&str]) -> String {
        let list = serde_json::json!(trusted);
        let trusted: TrustedProxies = serde_json::from_value(list).expect("addresses");
        let request = TestRequest::default()
            .peer_addr(format!("{peer}:9").parse().expect("an address"))
            .insert_header(("x-forwarded-for", forwarded))
            .to_http_request();
        Address::of(request.head(), &trusted).to_string()
    }

    #[test]
    fn a_client_cannot_choose_its_address() {
        assert_eq!(address("203.0.113.9", "1.2.3.4", &[]), "203.0.113.9");
        assert_eq!(address("127.0.0.1", "1.2.3.4, 198.51.100.7", &["127.0.0.1"]), "198.51.100.7");
        let both = ["127.0.0.1", "10.0.0.0/8"];
        assert_eq!(address("127.0.0.1", "1.2.3.4, 198.51.100.7, 10.1.1.1", &both), "198.51.100.7");
        assert_eq!(address("127.0.0.1", "nonsense", &["127.0.0.1"]), "127.0.0.1");
    }
}
