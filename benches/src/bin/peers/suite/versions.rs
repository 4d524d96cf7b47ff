//! Which version of each peer this is built with.

/// What cargo resolved, as it was when this was built.
const LOCK: &str = include_str!("../../../../../Cargo.lock");

/// The version of `package`.
pub(crate) fn version(package: &str) -> &'static str {
    let named = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != named).skip(1);
    lines
        .next()
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .expect("every peer is in Cargo.lock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::pools::PEERS;

    #[test]
    fn each_peer_has_one() {
        for peer in PEERS {
            assert!(version(peer.package).starts_with(|first: char| first.is_ascii_digit()), "{}", peer.name);
        }
    }
}
