//! What there is, for who asks.

use std::fmt::Write;

use crate::suite::pools::PEERS;
use crate::suite::scenarios::SCENARIOS;
use crate::suite::versions::version;

/// The peers and the scenarios.
pub(crate) fn list() -> String {
    let mut out = String::from("peers:\n");
    for peer in PEERS {
        let _ = writeln!(out, "  {:<22}{}", peer.name, version(peer.package));
    }
    out.push_str("\nscenarios:\n");
    for scenario in SCENARIOS {
        let _ = writeln!(out, "  {:<22}{}", scenario.name, scenario.title);
    }
    out
}
